"""Starts a run: new, resumed at the position where it stopped, or restarted at an earlier epoch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from util import distributed
from util.distributed import place
from util.errors import UserError
from util.initial import Initial
from util.run.checkpoint import CheckpointError
from util.run.process_state import count_processes
from util.run.progress import Progress
from util.run.run_folder import LATEST, RunFolder
from util.run.saving import Part, SavingOptions
from util.sinks.loss_log import last_restart

Say = Callable[[str], None]


class Resumable(Protocol):
    """Interface of a model whose training can be resumed."""

    networks: dict[str, nn.Module]

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Restore a training state, which only rank 0 has loaded. Every process must call it."""

    def begin_at(self, epoch: int) -> None:
        """Set the learning rate of the beginning of an epoch."""

    def skip_warm_ups(self, trained: Collection[str]) -> None:
        """Skip the warm-ups that are not needed if the networks with these names have been trained before."""


@dataclass(frozen=True)
class Beginning:
    """How a run begins, as given by its options.

    label: of the checkpoint to resume from. epoch_count: the epoch to begin with; None if it was not given. initial:
    source of the initial weights of a new run. changes: descriptions of the options that differ from the resumed run.
    Every process must call every method; only the main process reads files.
    """

    folder: RunFolder
    saving: SavingOptions
    label: str
    epoch_count: int | None
    initial: Initial | None
    changes: tuple[str, ...]

    def prepare(self, model: Resumable, progress: Progress, say: Say) -> Mapping[str, Any]:
        """Load the run to resume, or make sure that a new run does not overwrite another one.

        Returns the loaded training state on the main process; empty if there is none. Raises CheckpointError for
        unusable files and UserError if a run would be overwritten.
        """
        state: Mapping[str, Any] = {}
        initial = self.initial
        if distributed.from_main(lambda: self._make_way(say)):
            state = self.restore(model, progress, say)
            for change in self.changes:
                say(f"changed: {change}")
        elif initial is not None:
            model.skip_warm_ups(distributed.from_main(lambda: initial.load(model.networks, say)))
        distributed.share_weights(model.networks.values())
        return state

    def _make_way(self, say: Say) -> bool:
        """Return whether there is a run to resume. If not, make sure that the new run does not overwrite one."""
        folder = self.folder
        if self.saving.continue_train:
            if folder.has_checkpoint or not distributed.under_torchrun():
                return True
            # torchrun repeats the same command after a failure, so the command must also work the first time.
            say(f"{folder.path} contains no checkpoint to resume from: starting a new run")
        elif self.saving.overwrite:
            if distributed.restarts():
                raise UserError(
                    "torchrun restarted this training, and --overwrite would delete its checkpoints: use "
                    "--continue_train instead, which also starts a new run if there is none to resume"
                )
            folder.clear()
        else:
            folder.refuse_collision()
        return False

    def restore(self, model: Resumable, progress: Progress, say: Say) -> Mapping[str, Any]:
        """Load model and progress from the checkpoint. Only `latest` has a training state."""
        folder = self.folder
        state = distributed.on_main(lambda: self._load(model, say))
        if not distributed.from_main(lambda: state is not None):
            model.skip_warm_ups(model.networks)
            following = distributed.from_main(lambda: folder.epoch_after(self.label, progress.images_per_epoch))
            self._begin_again(following if self.epoch_count is None else self.epoch_count, model, progress)
            networks = f"the networks of {folder.path} ({self.label})"
            say(f"restarting from {networks} at epoch {progress.epoch}, with new optimizers")
            return {}
        self._take_over(state, model, progress)
        if self.epoch_count not in (None, progress.epoch):
            self._obey_epoch_count(model, progress, say)
        say(f"resuming {folder.path} at epoch {progress.epoch}, image {progress.epoch_images}")
        if state and (before := count_processes(state["model"])) != place().processes:
            say(
                f"note: the number of processes has changed from {before} to {place().processes}: image pools start "
                "empty"
            )
        return state or {}

    def _load(self, model: Resumable, say: Say) -> dict[str, Any] | None:
        """Load the networks. Returns the training state, or None if the checkpoint has none."""
        if self.label == LATEST:
            return self.folder.resume(model.networks, say)
        self.folder.load_networks(self.label, model.networks)
        return None

    def _take_over(self, state: Mapping[str, Any] | None, model: Resumable, progress: Progress) -> None:
        try:
            model.load_state_dict(state["model"] if state else None)
            progress.load_state_dict(distributed.from_main(lambda: state["progress"] if state else {}))
        except UserError:
            raise
        except Exception as error:  # torch raises almost any type for a state that does not fit
            raise CheckpointError(
                f"{self.folder.state_path} does not fit this model: {error!r}; move the file away to train on from "
                "the networks alone"
            ) from error

    def _begin_again(self, epoch: int, model: Resumable, progress: Progress) -> None:
        """Restart at the beginning of an epoch, with its learning rate."""
        progress.begin_again(epoch, distributed.from_main(lambda: last_restart(self.folder.path)))
        model.begin_at(epoch)

    def _obey_epoch_count(self, model: Resumable, progress: Progress, say: Say) -> None:
        """Restart at the epoch that --epoch_count gives, with the optimizers as they were saved at another one."""
        assert self.epoch_count is not None
        saved = f"epoch {progress.epoch}, image {progress.epoch_images}"
        named = f"note: --epoch_count {self.epoch_count}"
        if distributed.restarts():
            say(f"{named} is ignored because torchrun restarted this training: the run resumes at {saved}")
            return
        self._begin_again(self.epoch_count, model, progress)
        say(f"{named} is used, although the run was saved at {saved}: omit the option to resume there")


def restore_parts(parts: Mapping[str, Part], state: Mapping[str, Any]) -> None:
    """Restore the state of each part that the checkpoint contains; checkpoints of older versions lack some."""
    for name, part in parts.items():
        if name in state:
            part.load_state_dict(state[name])

"""How a run begins: anew in a folder that holds none, where an earlier call of train.py stopped, or further back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """What a model has to be for its training to go on."""

    networks: dict[str, nn.Module]

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Take over a training state, which the main process alone has. Of several processes each calls it."""

    def begin_at(self, epoch: int) -> None:
        """Take the learning rate that an epoch begins with."""


@dataclass(frozen=True)
class Beginning:
    """What the options say about it. label: of the checkpoint to go on from. epoch_count: the epoch to begin with, None
    where none was named. initial: networks of another run for a new one. changes: options that are not what they were.

    Of several processes each calls every method; the main one reads files.
    """

    folder: RunFolder
    saving: SavingOptions
    label: str
    epoch_count: int | None
    initial: Initial | None
    changes: tuple[str, ...]

    def prepare(self, model: Resumable, progress: Progress, say: Say) -> Mapping[str, Any]:
        """Load the run that is to be continued, or make sure that none is overwritten. Returns the training state that
        was loaded, on the main process; empty where there was none.

        Raises CheckpointError for files that cannot be used, UserError where a run would be overwritten.
        """
        state: Mapping[str, Any] = {}
        initial = self.initial
        if distributed.from_main(lambda: self._make_way(say)):
            state = self.restore(model, progress, say)
            for change in self.changes:
                say(f"changed: {change}")
        elif initial is not None:
            distributed.on_main(lambda: initial.load(model.networks, say))
        distributed.share_weights(model.networks.values())
        return state

    def _make_way(self, say: Say) -> bool:
        """Whether there is a run to continue; where a new one begins, make sure that it overwrites none."""
        folder = self.folder
        if self.saving.continue_train:
            if folder.has_checkpoint or not distributed.under_torchrun():
                return True
            # torchrun runs the same command again when a process failed: it must do for the first time, too.
            say(f"{folder.path} holds nothing to continue yet: a new run begins")
        elif self.saving.overwrite:
            if distributed.restarts():
                raise UserError(
                    "started again by torchrun, and --overwrite would delete what was trained: give --continue_train "
                    "in its place, which begins a new run where there is none"
                )
            folder.clear()
        else:
            folder.refuse_collision()
        return False

    def restore(self, model: Resumable, progress: Progress, say: Say) -> Mapping[str, Any]:
        """Fill model and progress from the checkpoint. The training state exists for `latest` alone."""
        folder = self.folder
        state = distributed.on_main(lambda: self._load(model, say))
        if not distributed.from_main(lambda: state is not None):
            following = distributed.from_main(lambda: folder.epoch_after(self.label, progress.images_per_epoch))
            self._begin_again(following if self.epoch_count is None else self.epoch_count, model, progress)
            networks = f"the networks of {folder.path} ({self.label})"
            say(f"continuing {networks} at epoch {progress.epoch}, with fresh optimizers")
            return {}
        self._take_over(state, model, progress)
        if self.epoch_count not in (None, progress.epoch):
            self._obey_epoch_count(model, progress, say)
        say(f"continuing {folder.path} at epoch {progress.epoch}, image {progress.epoch_images}")
        if state and (before := count_processes(state["model"])) != place().processes:
            say(f"note: processes before {before}, now {place().processes}: image pools begin empty")
        return state or {}

    def _load(self, model: Resumable, say: Say) -> dict[str, Any] | None:
        """Fill the networks; returns the training state, if the checkpoint has one."""
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
        except Exception as error:  # torch raises nearly every type on a state that is not its own
            raise CheckpointError(
                f"{self.folder.state_path} does not fit this model: {error!r}; move it away to go on from the networks "
                "alone"
            ) from error

    def _begin_again(self, epoch: int, model: Resumable, progress: Progress) -> None:
        """Go on at the beginning of an epoch, at its learning rate."""
        progress.begin_again(epoch, distributed.from_main(lambda: last_restart(self.folder.path)))
        model.begin_at(epoch)

    def _obey_epoch_count(self, model: Resumable, progress: Progress, say: Say) -> None:
        """Go on at the epoch that was typed, with the optimizers as they were saved at another one."""
        assert self.epoch_count is not None
        saved, named = (
            f"epoch {progress.epoch}, image {progress.epoch_images}",
            f"note: --epoch_count {self.epoch_count}",
        )
        if distributed.restarts():
            say(f"{named} is not obeyed, as torchrun started this again: the run is at {saved}")
            return
        self._begin_again(self.epoch_count, model, progress)
        say(f"{named} is obeyed, though the run was saved at {saved}: leave the option out to go on from there")


def restore_parts(parts: Mapping[str, Part], state: Mapping[str, Any]) -> None:
    """Give each part its state, as far as the checkpoint has one: those of older versions lack some."""
    for name, part in parts.items():
        if name in state:
            part.load_state_dict(state[name])

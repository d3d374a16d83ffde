"""Saves checkpoints. Non-finite weights are refused; a failed save is reported and retried."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from util.arguments import option
from util.distributed import place
from util.errors import UserError
from util.run.interrupts import StopTogether
from util.run.progress import Progress
from util.run.run_folder import RunFolder

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class SavingOptions:
    """saving and resuming"""

    continue_train: bool = option(False, help="resume the run --name where it stopped, with its saved options")
    init_from: str = option(
        "",
        help="start a new run from trained networks: the name or folder of another run, or a file of weights; "
        "--epoch selects the networks of a run. Options that describe the networks are taken from that run",
    )
    overwrite: bool = option(False, help="replace an existing run of the same name")
    save_latest_freq: int = option(5000, help="interval between checkpoints within an epoch", unit="images", least=1)
    save_epoch_freq: int = option(5, help="interval at which the networks of an epoch are kept", unit="epochs", least=1)
    save_by_iter: bool = option(False, help="also keep the networks that --save_latest_freq saves, as iter_N")
    keep_last: int = option(
        2,
        help="number of latest checkpoints to keep; if the newest is damaged, the run resumes from the one before it",
        unit="checkpoints",
        least=1,
    )


class Part(Protocol):
    """Interface of everything that a checkpoint contains besides the networks."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Any) -> None: ...


class Saver:
    """Saves the networks and the state of all `parts`.

    options: all options of the run, for the manifest. check: called before each save; raises an error if the networks
    must not be saved. say: prints a message about each failure.
    """

    def __init__(
        self,
        folder: RunFolder,
        networks: Mapping[str, nn.Module],
        parts: Mapping[str, Part],
        progress: Progress,
        saving: SavingOptions,
        options: Mapping[str, Any],
        check: Callable[[], object],
        say: Callable[[str], None],
    ) -> None:
        self.folder, self.networks, self.parts, self.progress = folder, networks, parts, progress
        self.saving, self.options, self.check, self.say = saving, options, check, say
        self.failed = False
        """whether the last attempt to save failed"""

    def save(self, keep: Sequence[str] = ()) -> None:
        """Save everything that is needed to resume. Under the labels `keep`, the networks are kept permanently.

        If saving fails (disk full, quota exceeded, read-only folder), the last good checkpoint is kept, the failure is
        reported, and the next call tries again. Every process must call it; only the main process writes.
        """
        self.check()
        state = {name: dict(part.state_dict()) for name, part in self.parts.items()}
        if not place().is_main:
            return
        notes = {
            **self.progress.state_dict(),
            "saved": time.strftime("%Y-%m-%d %H:%M:%S"),
            "torch": torch.__version__,
            "options": dict(self.options),
        }
        try:
            self.folder.save(self.networks, state, keep=keep, notes=notes, keep_last=self.saving.keep_last)
            self.failed = False
        except OSError as error:
            self.failed = True
            self.say(self._failure(error, keep))

    def _failure(self, error: OSError, keep: Sequence[str]) -> str:
        latest = self.folder.describe_latest()
        kept = f"the last good checkpoint is {latest}" if latest else "there is no checkpoint yet"
        lost = f" ({', '.join(keep)} is not kept)" if keep else ""
        return (
            f"warning: the checkpoint of epoch {self.progress.epoch}, image {self.progress.epoch_images} could not be "
            f"saved{lost}: {error.strerror or error} in {self.folder.path}; {kept}. Free some disk space: training "
            "continues and tries again when the next checkpoint is due"
        )


def saved_if_broken(batches: Iterator[Batch], saver: Saver) -> Iterator[Batch]:
    """Yield batches. If loading fails, save the run, then re-raise the error. With several processes nothing is saved,
    because all of them would have to save together."""
    try:
        yield from batches
    except UserError:
        if place().processes == 1:
            saver.save()
        raise


def conclude(saver: Saver, stop: StopTogether) -> int:
    """Print how the run ended, and return the exit status, which is not 0 if the last save failed."""
    progress = saver.progress
    end = f"epoch {progress.epoch}, image {progress.epoch_images}"
    if saver.failed:
        saver.say(f"training ended at {end}, but the last checkpoint could not be saved")
        return stop.exit_status or 1
    if stop:
        saver.say(f"stopped and saved at {end}: use --continue_train to resume from there")
    else:
        saver.say(f"training finished at epoch {progress.last_epoch}: {saver.folder.path}")
    return stop.exit_status

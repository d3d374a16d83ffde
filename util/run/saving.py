"""Saving a run, whenever the loop asks for it: never anything bad, and no failure ends the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from util.arguments import OptionError, option
from util.distributed import place
from util.errors import UserError
from util.run.interrupts import StopRequest
from util.run.progress import Progress
from util.run.run_folder import RunFolder

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class SavingOptions:
    """saving and continuing"""

    continue_train: bool = option(False, help="go on with the run --name where it stopped, with its options")
    init_from: str = option(
        "",
        help="begin a new run with the networks of another: its name, its folder, or a file of "
        "weights; --epoch says which of them. Options that describe networks are taken over",
    )
    overwrite: bool = option(False, help="replace a run of the same name")
    save_latest_freq: int = option(5000, help="how often the latest checkpoint is saved within an epoch", unit="images")
    save_epoch_freq: int = option(5, help="how often an epoch's checkpoint is kept", unit="epochs")
    save_by_iter: bool = option(False, help="keep what --save_latest_freq saves, as iter_N")
    keep_last: int = option(
        2,
        help="how many of the latest checkpoints are kept: should the newest be found damaged, there is the one before",
        unit="checkpoints",
    )

    def __post_init__(self) -> None:
        if self.save_latest_freq < 1 or self.save_epoch_freq < 1:
            raise OptionError("--save_latest_freq and --save_epoch_freq: at least 1")
        if self.keep_last < 1:
            raise OptionError(f"--keep_last {self.keep_last}: at least the newest checkpoint must be kept")


class Part(Protocol):
    """What a checkpoint holds beside the networks: anything that can say its state and take it back."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Any) -> None: ...


class Saver:
    """Saves networks and the state of all `parts`.

    check: called before each save, and free to raise where the networks must not be saved. options: the run's, for the
    manifest. say: told of each failure.
    """

    def __init__(
        self,
        folder: RunFolder,
        networks: Mapping[str, nn.Module],
        parts: Mapping[str, Part],
        progress: Progress,
        *,
        keep_last: int,
        options: Mapping[str, Any],
        check: Callable[[], object],
        say: Callable[[str], None],
    ) -> None:
        self.folder, self.networks, self.parts, self.progress = folder, networks, parts, progress
        self.keep_last, self.options, self.check, self.say = keep_last, options, check, say
        self.failed = False
        """whether the last attempt to save failed"""

    def save(self, keep: Sequence[str] = ()) -> None:
        """Save all that going on needs; under the labels `keep` the networks stay for good.

        A full disk, a quota, a folder that became read-only: the last good checkpoint stays, the failure is told, and
        the next call tries again. Of several processes each must call it, and the main one writes.
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
            self.folder.save(self.networks, state, keep=keep, notes=notes, keep_last=self.keep_last)
            self.failed = False
        except OSError as error:
            self.failed = True
            self.say(self._failure(error, keep))

    def _failure(self, error: OSError, keep: Sequence[str]) -> str:
        latest = self.folder.describe_latest()
        kept = f"the last good one is {latest}" if latest else "there is none yet"
        lost = f" ({', '.join(keep)} is not kept)" if keep else ""
        return (
            f"warning: the checkpoint of epoch {self.progress.epoch}, image {self.progress.epoch_images} could not be "
            f"saved{lost}: {error.strerror or error} in {self.folder.path}; {kept}. Make room: training goes on, and "
            "tries again when the next one is due"
        )


def saved_if_broken(batches: Iterator[Batch], saver: Saver) -> Iterator[Batch]:
    """The batches; where there can be no more of them, the run is saved before the error goes on. (Not where others
    train on: all must save together.)"""
    try:
        yield from batches
    except UserError:
        if place().processes == 1:
            saver.save()
        raise


def conclude(saver: Saver, stop: StopRequest) -> int:
    """Say how the run ended; returns the exit status, which is not 0 where the end could not be saved."""
    progress = saver.progress
    end = f"epoch {progress.epoch}, image {progress.epoch_images}"
    if saver.failed:
        saver.say(f"ended at {end}, which could not be saved")
        return stop.exit_status or 1
    if stop:
        saver.say(f"stopped and saved at {end}: --continue_train goes on from there")
    else:
        saver.say(f"trained to epoch {progress.last_epoch}: {saver.folder.path}")
    return stop.exit_status

"""Handles Ctrl-C and SIGTERM as requests to stop after the current step."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

from util.distributed import Reduction, place

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopTogether:
    """Context in which the first Ctrl-C or SIGTERM only requests a stop; a second one acts immediately.

    A request to any of several processes makes all of them stop after the same step. After each step the processes
    start an all-reduce of one number, and read its result after the next step. No process waits for its device, or for
    the network unless that takes longer than a step; the run stops one step later than it could. With several
    processes, signals after the first are ignored: torchrun repeats the signal that a scheduler already sent to every
    process, and kills processes that have not ended after 30 seconds.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._former = {number: signal.getsignal(number) for number in SIGNALS}
        self._reduction: Reduction | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def __enter__(self) -> Self:
        for number in SIGNALS:
            signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        if place().processes == 1:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    @property
    def exit_status(self) -> int:
        """The exit status of a process that was ended by the signal (128 + its number); 0 if there was none."""
        return 0 if self.signal_number is None else 128 + self.signal_number

    def now(self) -> bool:
        """Return whether to stop now. Every process must call it after every step."""
        if place().processes == 1:
            return bool(self)
        agreed = self._reduction.result() if self._reduction else 0
        self.signal_number = agreed or self.signal_number
        self._reduction = None if agreed else Reduction(self.signal_number or 0)
        return agreed > 0

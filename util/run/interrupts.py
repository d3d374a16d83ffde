"""Ctrl-C and SIGTERM as a request to stop at the next good moment."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

from util.distributed import Reduction, place

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Within this context the first Ctrl-C or SIGTERM only sets `signal_number`; a second one acts at once."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._former = {number: signal.getsignal(number) for number in SIGNALS}

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
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    @property
    def exit_status(self) -> int:
        """The exit status by which shells and schedulers know a process that a signal ended; 0 where none came."""
        return 0 if self.signal_number is None else 128 + self.signal_number


class StopTogether(StopRequest):
    """A request to stop to any one of several processes, which all of them follow after the same step.

    After each step the processes begin to reduce one number, and look at the result after the next step. Nobody waits
    for a device, nor for the network unless it needs longer than a step; a process stops one step later than it could.
    Signals after the first are let pass: torchrun repeats what a scheduler sent to every process already, and kills
    those that have not ended after 30 seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reduction: Reduction | None = None

    def now(self) -> bool:
        """Whether to stop here. To be asked by every process after every step."""
        if place().processes == 1:
            return bool(self)
        agreed = self._reduction.result() if self._reduction else 0
        self.signal_number = agreed or self.signal_number
        self._reduction = None if agreed else Reduction(self.signal_number or 0)
        return agreed > 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        if place().processes == 1:
            self._restore()

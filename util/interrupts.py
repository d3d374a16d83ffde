"""Ctrl-C and SIGTERM as a request to stop at the next good moment."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Within this context the first Ctrl-C or SIGTERM only sets `signal_number`; a second one acts at once."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._former = {number: signal.getsignal(number) for number in SIGNALS}

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def __enter__(self) -> StopRequest:
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

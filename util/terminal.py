"""A status line that is redrawn in place on a terminal, and plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from util.text import printable

BAR_CELLS = 12
REDRAW_SECONDS = 0.1
PATIENCE_SECONDS = 15.0
"""How long a file or a pipe goes without a first line of progress. Steps are shorter, so people wait less than 30 s."""


class StatusLine:
    """One line at the bottom of a terminal. Where the stream is a file or a pipe, only `say` prints."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.is_terminal = self.stream.isatty()
        self._drawn_at = float("-inf")
        self._is_open = False

    @property
    def is_due(self) -> bool:
        """Whether there is a terminal, last drawn on so long ago that a person would see a difference."""
        return self.is_terminal and time.monotonic() - self._drawn_at >= REDRAW_SECONDS

    def draw(self, text: str) -> None:
        """Show `text` in place of the line before, cut to the terminal's width."""
        columns = shutil.get_terminal_size().columns - 1
        text = printable(text)
        self.stream.write(f"\r{text[:columns]:<{columns}}")
        self.stream.flush()
        self._drawn_at = time.monotonic()
        self._is_open = True

    def say(self, text: str) -> None:
        """Print `text` as a line of its own (or several), above the status line."""
        self.clear()
        print(printable(text, keep="\n"), file=self.stream, flush=True)

    def clear(self) -> None:
        """Remove the status line."""
        if self._is_open:
            self.stream.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self.stream.flush()
            self._is_open = False


class CountedWork:
    """The progress of work on `total` things; a context manager. In a file or pipe it prints a line every tenth,
    the first after PATIENCE_SECONDS at the latest."""

    def __init__(self, title: str, total: int, unit: str, stream: TextIO | None = None) -> None:
        self.title, self.total, self.unit = printable(title), total, unit
        self.line = StatusLine(stream)
        self.done = 0
        self._is_silent = True
        self._started = time.monotonic()

    def __enter__(self) -> CountedWork:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.line.clear()
        if kind is None:
            self.finish()

    def finish(self) -> None:
        """Say how much was done, in what time."""
        seconds = time.monotonic() - self._started
        self.line.say(f"{self.title}: {self.done} {self.unit} in {format_duration(seconds)}{self._speed(seconds)}")

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        before, self.done = self.done, self.done + count
        if self.line.is_due:
            self.line.draw(f"{bar(self.done, self.total)} {self._describe()}")
        elif not self.line.is_terminal and self._has_news(before):
            self._is_silent = False
            self.line.say(self._describe())

    def _has_news(self, before: int) -> bool:
        """Whether another tenth is done, or a first line is overdue."""
        is_late = self._is_silent and time.monotonic() - self._started >= PATIENCE_SECONDS
        return self.done < self.total and (is_late or 10 * before // self.total < 10 * self.done // self.total)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.line.say(text)

    def _describe(self) -> str:
        seconds = time.monotonic() - self._started
        left = seconds / max(1, self.done) * (self.total - self.done)
        return f"{self.title}: {self.done}/{self.total} {self.unit}{self._speed(seconds)}, {format_duration(left)} left"

    def _speed(self, seconds: float) -> str:
        return f", {self.done / seconds:.1f} {self.unit}/s" if seconds > 0 else ""


def bar(done: float, total: float) -> str:
    """A bar of fixed width."""
    filled = round(BAR_CELLS * min(1.0, done / total)) if total else BAR_CELLS
    return "━" * filled + "╌" * (BAR_CELLS - filled)


def format_duration(seconds: float) -> str:
    """`2 d 03:04:05`, `3:04:05` or `4:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_bytes(count: int) -> str:
    """`2.45 GB`, `31.8 MB`, `12 KB`: three digits, in powers of 1,000."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            value = count / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{count / 1000:.0f} KB"

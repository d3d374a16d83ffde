"""Progress output: a status line that is redrawn in place on a terminal, and plain lines in files and pipes."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from util.text import printable

BAR_CELLS = 12
REDRAW_SECONDS = 0.1
PATIENCE_SECONDS = 15.0
"""Longest time until the first progress line in a file or pipe. Steps are shorter, so that it comes within 30 s."""


class StatusLine:
    """One line at the bottom of a terminal. If the stream is a file or a pipe, only `say` prints."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.is_terminal = self.stream.isatty()
        self._drawn_at = float("-inf")
        self._is_open = False

    @property
    def is_due(self) -> bool:
        """Whether the stream is a terminal and REDRAW_SECONDS have passed since the line was last drawn."""
        return self.is_terminal and time.monotonic() - self._drawn_at >= REDRAW_SECONDS

    def draw(self, text: str) -> None:
        """Replace the status line by `text`, cut to the terminal's width."""
        columns = shutil.get_terminal_size().columns - 1
        text = printable(text)
        self.stream.write(f"\r{text[:columns]:<{columns}}")
        self.stream.flush()
        self._drawn_at = time.monotonic()
        self._is_open = True

    def say(self, text: str) -> None:
        """Print `text`, which may have several lines, above the status line."""
        self.clear()
        print(printable(text, keep="\n"), file=self.stream, flush=True)

    def clear(self) -> None:
        """Remove the status line."""
        if self._is_open:
            self.stream.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self.stream.flush()
            self._is_open = False


class CountedWork:
    """Context manager that shows the progress of work on `total` items. In a file or pipe it prints a line after each
    tenth, and the first line after PATIENCE_SECONDS at the latest."""

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
        """Print how many items were done, and how long it took."""
        seconds = time.monotonic() - self._started
        self.line.say(f"{self.title}: {self.done} {self.unit} in {format_duration(seconds)}{self._speed(seconds)}")

    def advance(self, count: int = 1) -> None:
        """Report that `count` more items are done."""
        before, self.done = self.done, self.done + count
        if self.line.is_due:
            self.line.draw(f"{bar(self.done, self.total)} {self._describe()}")
        elif not self.line.is_terminal and self._has_news(before):
            self._is_silent = False
            self.line.say(self._describe())

    def _has_news(self, before: int) -> bool:
        """Return whether another tenth is done, or the first line is overdue."""
        is_late = self._is_silent and time.monotonic() - self._started >= PATIENCE_SECONDS
        return self.done < self.total and (is_late or 10 * before // self.total < 10 * self.done // self.total)

    def _describe(self) -> str:
        seconds = time.monotonic() - self._started
        left = seconds / max(1, self.done) * (self.total - self.done)
        return f"{self.title}: {self.done}/{self.total} {self.unit}{self._speed(seconds)}, {format_duration(left)} left"

    def _speed(self, seconds: float) -> str:
        return f", {self.done / seconds:.1f} {self.unit}/s" if seconds > 0 else ""


def bar(done: float, total: float) -> str:
    """Draw a progress bar of BAR_CELLS characters."""
    filled = round(BAR_CELLS * min(1.0, done / total)) if total else BAR_CELLS
    return "━" * filled + "╌" * (BAR_CELLS - filled)


def format_duration(seconds: float) -> str:
    """Format a duration as `2 d 03:04:05`, `3:04:05` or `4:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_bytes(count: int) -> str:
    """Format a size with three digits in powers of 1,000: `2.45 GB`, `31.8 MB`, `12 KB`."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            value = count / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{count / 1000:.0f} KB"

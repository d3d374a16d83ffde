"""Detects DataLoader worker processes that were killed, for example by the kernel because memory ran out."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

MOST_KILLS = 3
"""Maximum number of times that workers may be killed without a batch in between."""


class WorkerKilledError(Exception):
    """Raised if a worker process was killed; the message says how that was detected."""


def without_surprise(batches: DataLoader) -> Iterator[Any]:
    """Yield from `batches`. Raises WorkerKilledError here if a worker was killed.

    By default, torch raises an error from its SIGCHLD handler, at any point of the program, even in the middle of a
    training step. Without that handler, the loss of a worker is detected within 5 seconds when waiting for its batches.
    """
    iterator = iter(batches)
    if batches.num_workers > 0 and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except (RuntimeError, EOFError, OSError) as error:
            if batches.num_workers > 0 and _tells_of_a_death(error):
                raise WorkerKilledError(str(error) or type(error).__name__) from error
            raise
        yield item


def _tells_of_a_death(error: Exception) -> bool:
    """Return whether an error means that a worker was killed, and not that it raised an error itself."""
    if "Caught " in str(error):  # torch's prefix for errors that a worker raised
        return False
    # A worker that is killed while it sends its photos breaks the connection.
    return not isinstance(error, RuntimeError) or "exited unexpectedly" in str(error) or "is killed by" in str(error)


@atexit.register
def end_workers() -> None:
    """Kill the workers of this process.

    At exit, Python sends SIGTERM to its workers and waits for them. They ignore SIGTERM, however, and after an error
    nothing else has told them to end; others may wait for ever for a lock of one that was killed.
    """
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()

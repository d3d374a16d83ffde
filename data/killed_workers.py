"""Worker processes of a DataLoader that someone killed, such as the kernel for lack of memory."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

MOST_KILLS = 3
"""in a row, without a batch between them"""


class WorkerKilledError(Exception):
    """A worker process is gone; the message says how that was noticed."""


def without_surprise(batches: DataLoader) -> Iterator[Any]:
    """What `batches` yields. Raises WorkerKilledError where a worker was killed: here, and nowhere else.

    torch raises an error in the midst of whatever the process does at that moment, half a training step for instance,
    from a handler of the signal that tells of ended children. Without that handler the loss is noticed within 5
    seconds, by who waits for the worker's photos.
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
    """Whether an error means that a worker is gone, rather than that it raised something itself."""
    if "Caught " in str(error):  # torch's beginning of an error that a worker raised
        return False
    # A worker that goes while its photos are on their way breaks the connection on which they come.
    return not isinstance(error, RuntimeError) or "exited unexpectedly" in str(error) or "is killed by" in str(error)


@atexit.register
def end_workers() -> None:
    """Kill this process's workers.

    They leave SIGTERM to their parent, and one that died may have left the others waiting for ever. At its exit Python
    sends SIGTERM and waits for them to end: with an error on its way, nobody has told them otherwise.
    """
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()

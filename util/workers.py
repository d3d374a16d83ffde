"""Worker processes that handle a stream of tasks with bounded memory and ordered results, and end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from util.errors import UserError

Batch = TypeVar("Batch")
Result = TypeVar("Result")

BATCHES_PER_PROCESS = 3
"""Batches in flight per process: enough that no process is idle, few enough that memory use stays small."""


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Make a worker process end if its parent is killed, and leave Ctrl-C to the parent. Use as a pool's initializer.

    Otherwise a worker whose parent was killed would wait for work for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def process_context() -> Any:
    """Return the multiprocessing context in which processes are started."""
    # Forking this process would duplicate its memory; the fork server is small.
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if "forkserver" in methods else None)


def run_in_processes(
    work: Callable[[Batch], list[Result]], batches: Iterable[Batch], processes: int
) -> Iterator[Result]:
    """Yield the results of `work` on each batch in order. Batches are read only as fast as they are processed.

    Each process imports the module of `work`, which should therefore be quick to import. With one process, all work is
    done in the calling process. Raises UserError if a worker process was killed, and any error raised by `work`.
    """
    if processes <= 1:
        for batch in batches:
            yield from work(batch)
        return
    pool = ProcessPoolExecutor(processes, mp_context=process_context(), initializer=end_with_parent)
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(work, batch))
            if len(waiting) >= BATCHES_PER_PROCESS * processes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError("a worker process was killed, perhaps because memory ran out; use fewer --processes") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

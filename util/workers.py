"""Worker processes that do a stream of tasks: bounded memory, results in order, none left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from util.errors import UserError

Batch = TypeVar("Batch")
Result = TypeVar("Result")

BATCHES_PER_PROCESS = 3
"""Waiting or being worked on: enough that no process idles, few enough that memory stays small."""


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Make a worker end when its parent was killed, and leave Ctrl-C to the parent; an initializer of pools.

    A worker whose parent is gone would otherwise wait for work for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_in_processes(
    work: Callable[[Batch], list[Result]], batches: Iterable[Batch], processes: int
) -> Iterator[Result]:
    """The results of `work` on each batch, in order; `batches` is drawn from only as fast as they are done.

    `work` must be a function of a module that is quick to import: each process imports it anew. With one process,
    everything is done in this one. Raises UserError where a worker process was killed, and what `work` raises.
    """
    if processes <= 1:
        for batch in batches:
            yield from work(batch)
        return
    # A fork of this process would carry its whole memory along; the fork server is small.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else None)
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=end_with_parent)
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(work, batch))
            if len(waiting) >= BATCHES_PER_PROCESS * processes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError("a worker process was killed, perhaps for lack of memory; try fewer --processes") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

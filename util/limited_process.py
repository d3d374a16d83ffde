"""Work in a process of its own, with limits of memory and time, because it may crash or take too much of either."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from util.workers import end_with_parent, process_context

Result = TypeVar("Result")


class ProcessDiedError(Exception):
    """The process crashed, or reached a limit."""


def run_limited(work: Callable[..., Result], *arguments: Any, extra_bytes: int, seconds: int) -> Result:
    """Return or raise what `work` returns or raises in a process of its own.

    Args:
        work: a function at the top level of a module. Its arguments and its result must be picklable.
        extra_bytes: the memory that it may use. Only Linux enforces this limit.
        seconds: the processor time that it may use. Windows does not enforce this limit.

    Raises ProcessDiedError if the process crashed or reached a limit.
    """
    context = process_context()
    context.set_forkserver_preload([work.__module__])  # the server imports it once, for all processes
    results, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, extra_bytes, seconds, work, *arguments), daemon=True)
    process.start()
    sender.close()
    try:
        result, error = results.recv()
    except EOFError as closed:
        raise ProcessDiedError from closed
    finally:
        process.kill()
        process.join()
    if isinstance(error, MemoryError):
        raise ProcessDiedError from error
    if error is not None:
        raise error
    return result


def _answer(
    sender: Connection, extra_bytes: int, seconds: int, work: Callable[..., object], *arguments: object
) -> None:
    end_with_parent()
    _set_limits(extra_bytes, seconds)
    try:
        sender.send((work(*arguments), None))
    except Exception as error:
        sender.send((None, error))


def _set_limits(extra_bytes: int, seconds: int) -> None:
    """Limit this process as far as the system supports it. It leaves no core file if it crashes."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        size = pages * resource.getpagesize() + extra_bytes
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

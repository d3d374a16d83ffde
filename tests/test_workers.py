"""Worker processes: results in order, no more work drawn than needed, errors told."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from util.errors import UserError
from util.limited_process import ProcessDiedError, run_limited
from util.workers import BATCHES_PER_PROCESS, run_in_processes


def squares(batch: list[int]) -> list[tuple[int, int]]:
    """Each number's square, with the process that worked it out."""
    return [(number * number, os.getpid()) for number in batch]


def fail(batch: list[int]) -> list[int]:
    raise OSError(f"no room for {batch}")


def die(batch: list[int]) -> list[int]:
    os._exit(9)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_and_batches_are_drawn_as_they_are_done(processes: int) -> None:
    drawn = 0

    def batches() -> Iterator[list[int]]:
        nonlocal drawn
        for first in range(0, 60, 3):
            drawn += 1
            yield [first, first + 1, first + 2]

    results = []
    for result, worker in run_in_processes(squares, batches(), processes):
        results.append(result)
        assert drawn <= len(results) / 3 + BATCHES_PER_PROCESS * processes + 1
        assert (worker == os.getpid()) == (processes == 1)
    assert results == [number * number for number in range(60)]


@pytest.mark.parametrize("processes", [1, 2])
def test_errors_of_the_work_reach_the_caller(processes: int) -> None:
    with pytest.raises(OSError, match=r"no room for \[1\]"):
        list(run_in_processes(fail, [[1], [2]], processes))


def test_a_killed_worker_is_a_message() -> None:
    with pytest.raises(UserError, match="a worker process was killed"):
        list(run_in_processes(die, [[1]], 2))


def zeros(count: int) -> bytes:
    return bytes(count)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse() -> None:
    raise UserError("no")


def run_on() -> None:
    while True:
        pass


LIMITS = {"extra_bytes": 2**30, "seconds": 2}


def test_limited_work_returns_and_raises_as_it_does_here() -> None:
    assert run_limited(zeros, 3, **LIMITS) == bytes(3)
    with pytest.raises(UserError, match="no"):
        run_limited(refuse, **LIMITS)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems limit no memory")
def test_limited_work_that_grows_crashes_or_never_ends_is_an_error_here() -> None:
    for work, arguments in ((zeros, [2**31]), (crash, []), (run_on, [])):
        with pytest.raises(ProcessDiedError):
            run_limited(work, *arguments, **LIMITS)

"""Number of threads for training on a CPU: chosen by a short trial when a run starts, and saved with the run.

On idle cores, more threads are faster. If another process is busy, they are slower, because the threads of a step wait
for each other many times, each time for the one whose core is shared. The number of threads determines the order in
which the gradients of convolutions are summed, so results are bit-identical only for the same number. Therefore the
steps of the trial are undone, and the number is saved with the run.
"""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch

from models.base_model import BaseModel
from util.distributed import place

TRIAL_SECONDS = 3.0
"""The trial ends after the first round that exceeds this time."""
WORTH = 4 / 3
"""The smallest number of threads is chosen whose step takes at most this many times as long as the fastest: another
process that becomes busy later slows down one thread a little, and several threads a lot."""


@dataclass
class Threads:
    """The number of threads of a run; a part of its checkpoints.

    reason: why this number, for the console.
    """

    count: int
    reason: str = ""

    def state_dict(self) -> dict[str, int]:
        """Return the number of threads, which a resumed run keeps."""
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Do nothing: `settle_threads` has already used the state, before the first step."""


def settle_threads(
    model: BaseModel,
    batches: Callable[[], Iterator[Mapping[str, Any]]],
    saved: Mapping[str, int] | None,
    say: Callable[[str], None],
) -> Threads:
    """Set the number of threads for training on a CPU, and describe it in `model.speed`.

    In order of precedence, the number is that of --cpu_threads, of OMP_NUM_THREADS, of the run that is resumed, or the
    result of a trial. On other devices, and with several processes, torch's number is not changed. batches: starts
    loading photos for the trial. saved: the state of an earlier `Threads`. say: prints a message.
    """
    available, before = torch.get_num_threads(), saved["count"] if saved else 0
    if model.device.type != "cpu" or place().processes > 1:
        return Threads(available)
    if model.speed.cpu_threads:
        threads = Threads(model.speed.cpu_threads, "as --cpu_threads says")
    elif os.environ.get("OMP_NUM_THREADS"):
        threads = Threads(available, "as OMP_NUM_THREADS says")
    elif 0 < before <= available:
        threads = Threads(before, "as before")
    elif available == 1 or model.speed.compile != "none":  # compiled kernels are made for one number
        threads = Threads(available)
    else:
        threads = _try_out(model, batches, available, say)
    torch.set_num_threads(threads.count)
    if before not in (0, threads.count):
        change = f"the run used {before} threads before and uses {threads.count} now"
        say(f"note: {change}; results agree with those of {before} up to rounding")
    note = f"threads: {threads.count} of {available}" + f" ({threads.reason})" * bool(threads.reason)
    model.speed = replace(model.speed, cpu_threads=threads.count, threads_note=note)
    return threads


def _try_out(
    model: BaseModel, batches: Callable[[], Iterator[Mapping[str, Any]]], available: int, say: Callable[[str], None]
) -> Threads:
    """Choose the number of threads by training steps, which are then undone."""
    counts = sorted({1, max(1, available // 2), available - 1, available}, reverse=True)
    say(f"choosing the number of threads by a few steps with {_listed(map(str, counts))}")
    with contextlib.closing(batches()) as loaded:  # type: ignore[type-var]  # of a generator
        batch = next(loaded)

    def step(number: int) -> None:
        model.steps = number  # which terms of the loss a step has may depend on its number
        model.optimize(batch)

    with undone(model):
        seconds = measure(step, counts)
    return choose(seconds)


@contextlib.contextmanager
def undone(model: BaseModel) -> Iterator[None]:
    """Context after which the model and all random number generators are restored, bit for bit."""
    weights = {name: copy.deepcopy(network.state_dict()) for name, network in model.networks.items()}
    state = copy.deepcopy(model.state_dict())
    try:
        yield
    finally:
        for name, network in model.networks.items():
            network.load_state_dict(weights[name])
        model.load_state_dict(state)


def measure(step: Callable[[int], object], counts: list[int]) -> dict[int, float]:
    """Return the median duration of a step in seconds for each number of threads, measured in turns. The first round,
    in which kernels are prepared, counts only if there is no other.

    step: called with the number of the round, from 0.
    """
    rounds: list[dict[int, float]] = []
    began = time.perf_counter()
    while not rounds or time.perf_counter() - began < TRIAL_SECONDS:
        seconds = {}
        for count in counts:
            torch.set_num_threads(count)
            started = time.perf_counter()
            step(len(rounds))
            seconds[count] = time.perf_counter() - started
        rounds.append(seconds)
    return {count: median(seconds[count] for seconds in rounds[1:] or rounds) for count in counts}


def choose(seconds: Mapping[int, float]) -> Threads:
    """Choose the smallest number of threads that is about as fast as the fastest one.

    seconds: duration of a step for each number of threads.
    """
    fastest = min(seconds.values())
    count = min(count for count in seconds if seconds[count] <= WORTH * fastest)
    told = [f"{seconds[other]:.2g} s with {other}" for other in sorted(seconds)]
    reason = f"a step takes {_listed(told)}"
    if seconds[max(seconds)] > WORTH * seconds[count]:
        reason += ": other processes seem to be busy"
    elif seconds[count] > fastest:
        reason += ": more threads gain too little"
    return Threads(count, reason)


def _listed(words: Any) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last

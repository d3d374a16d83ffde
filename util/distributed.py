"""Distributed training with torchrun. In a process that was started without it, all functions here do nothing.

There is one process per GPU. Only rank 0, the main process, reads and writes files; the other ranks receive what they
need from it. Small objects and CPU tensors are sent with gloo, GPU tensors with NCCL.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from util.errors import UserError

Result = TypeVar("Result")

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for the others at most. Saving, compiling and a slow first step take less."""
LINGERING_SECONDS = 1.0
"""How long the main process outlives an error if it hosts the store, so that other ranks can still use it."""
LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Place(NamedTuple):
    """The rank of a process and the number of processes, in total and on its machine."""

    rank: int = 0
    processes: int = 1
    local_rank: int = 0
    local_processes: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0


ALONE = Place()


def place() -> Place:
    """Return the place of this process; ALONE outside of `started`."""
    if not dist.is_available() or not dist.is_initialized():
        return ALONE
    local = (int(os.environ.get(name, default)) for name, default in (("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1)))
    return Place(dist.get_rank(), dist.get_world_size(), *local)


def under_torchrun() -> bool:
    """Return whether torchrun started this process, alone or as one of several. It may run the same command again."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def restarts() -> int:
    """Return how often torchrun has restarted this training after a process failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


class _Launch:
    """Holds the launcher's key-value store, which a process can use without waiting for the others."""

    store: Any = None


@contextlib.contextmanager
def started() -> Iterator[None]:
    """Join the process group described by the launcher's environment variables, if there is one.

    If there are several processes, the end of the block also ends the process: after an error or SystemExit
    immediately, because other processes may hang; otherwise as soon as all ranks have arrived.
    """
    if not all(os.environ.get(name) for name in LAUNCHER_VARIABLES) or int(os.environ["WORLD_SIZE"]) == 1:
        yield
        return
    store, rank, processes = next(rendezvous("env://", timeout=TIMEOUT))
    # torchrun's store outlives the processes: without a prefix, restarted ones would find the old addresses in it.
    _Launch.store = dist.PrefixStore(f"start {restarts()} of {processes}", store)  # type: ignore[attr-defined]  # it is documented
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, store=_Launch.store, rank=rank, world_size=processes, timeout=TIMEOUT)
    if rank > 0:
        warnings.filterwarnings("ignore")  # the main process prints the same warnings
    try:
        yield
        barrier()
    except SystemExit as ending:
        if place().is_main and not under_torchrun():
            time.sleep(LINGERING_SECONDS)
        _end(ending.code if isinstance(ending.code, int) else 1)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        _end(1)
    _end(0)


def _end(status: int) -> NoReturn:
    """Exit without cleaning up: that could wait for other ranks for ever, and gloo's threads sometimes abort it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextlib.contextmanager
def loss_noticed() -> Iterator[None]:
    """Convert torch errors to UserError: another process ended or did not respond for TIMEOUT."""
    try:
        yield
    except RuntimeError as error:  # the base class of DistError and of gloo's errors
        raise UserError(
            "another process of this training ended or no longer responds: see its output and its machine. To resume "
            "from the last checkpoint, start the training again with --continue_train\n"
            f"(process {place().rank}: {str(error).strip().splitlines()[0][:300]})"
        ) from error


def is_first_to_tell(text: str) -> bool:
    """Return True for the first process that calls this with a text of this first line, so that it is printed once."""
    if _Launch.store is None:
        return True
    key = "told/" + hashlib.sha256(text.partition("\n")[0].encode(errors="replace")).hexdigest()
    try:
        return _Launch.store.add(key, 1) == 1
    except RuntimeError:  # the process that hosts the store has ended
        return True


def barrier() -> None:
    """Wait until all processes have called this function."""
    if place().processes > 1:
        with loss_noticed():
            dist.all_reduce(torch.zeros(1))  # dist.barrier() would use a GPU if there is one


def from_main(function: Callable[[], Result]) -> Result:
    """Call a function on the main process only, and return its result on all processes.

    If it raises UserError or SystemExit, all processes raise it. The result must be picklable.
    """
    if place().processes == 1:
        return function()
    told: list[Any] = [None, None]
    if place().is_main:
        try:
            told[0] = function()
        except (UserError, SystemExit) as error:
            told[1] = error if isinstance(error, SystemExit) else UserError(str(error))
    with loss_noticed():
        dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
    if told[1] is not None:
        raise told[1]
    result: Result = told[0]
    return result


def on_main(function: Callable[[], Result]) -> Result | None:
    """Call a function on the main process only; return its result there, None elsewhere. Errors as in `from_main`."""
    kept: list[Result] = []
    from_main(lambda: kept.append(function()))
    return kept[0] if kept else None


def gather(value: Any) -> list[Any] | None:
    """Return the values of all processes by rank on the main process, None on the others; [value] for one process."""
    if place().processes == 1:
        return [value]
    values = [None] * place().processes if place().is_main else None
    with loss_noticed():
        dist.gather_object(value, values)
    return values


def scatter(values: list[Any] | None) -> Any:
    """Send each process its element of the main process's list, which is ordered by rank: the inverse of `gather`."""
    if place().processes == 1:
        assert values is not None
        return values[0]
    own: list[Any] = [None]
    with loss_noticed():
        dist.scatter_object_list(own, values)
    return own[0]


def first_of_all(text: str) -> str:
    """Return, on all processes, the first non-empty text among those of all processes, ordered by rank."""
    if place().processes == 1:
        return text
    texts: list[Any] = [None] * place().processes
    with loss_noticed():
        dist.all_gather_object(texts, text)
    return next((other for other in texts if other), "")


def average(values: Tensor) -> Tensor:
    """Return the mean over all processes, bit for bit the same on each, without synchronising with the device."""
    if place().processes == 1:
        return values
    total = values.detach().clone()
    with loss_noticed():
        dist.all_reduce(total)
    return total / place().processes


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients of all trainable parameters by their mean over all processes, bit for bit the same on each.

    A missing gradient counts as 0. All gradients are sent in a single all-reduce, as in the training loop of StyleGAN3
    (Karras et al. 2021, arXiv:2106.12423), so that a step may call the networks any number of times."""
    if place().processes == 1:
        return
    gradients = []
    for parameter in parameters:
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    flat = average(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


class Reduction:
    """Computes the maximum of one number per process in the background."""

    def __init__(self, value: int) -> None:
        self._value = torch.tensor([value])
        with loss_noticed():
            self._work = dist.all_reduce(self._value, op=dist.ReduceOp.MAX, async_op=True)

    def result(self) -> int:
        """Wait for the maximum and return it."""
        with loss_noticed():
            self._work.wait()
        return int(self._value)


def require_equal(value: int, complaint: str) -> None:
    """Raise UserError, with the complaint and the values of all processes, if these are not equal."""
    if place().processes == 1:
        return
    values = torch.zeros(place().processes, dtype=torch.int64)
    values[place().rank] = value
    with loss_noticed():
        dist.all_reduce(values)
    if len(set(values.tolist())) > 1:
        raise UserError(f"{complaint}: {', '.join(map(str, values.tolist()))}")


@torch.no_grad()
def share_weights(networks: Iterable[nn.Module]) -> None:
    """Copy the parameters and buffers of the main process to all processes."""
    if place().processes == 1:
        return
    with loss_noticed():
        for network in networks:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, src=0)

"""Several processes that train one model, as torchrun starts them; in an ordinary process all of this does nothing.

There is one process for each GPU. Process 0 is the main one: it alone writes, and what the others know of files they
know from it. Small things and everything on a CPU go by gloo, tensors of GPUs by NCCL.
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
"""How long a process waits for the others, at most: longer than saving, compiling or a slow first step take."""
LINGERING_SECONDS = 1.0
"""Of the main process where it keeps the store itself: others may want to ask who has told what."""
LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class LostProcessError(UserError):
    """Another process of this training ended, or no longer answers."""


class Place(NamedTuple):
    """Which of several processes this is: of all, and of those on its machine."""

    rank: int = 0
    processes: int = 1
    local_rank: int = 0
    local_processes: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0


ALONE = Place()


def place() -> Place:
    """This process's place; ALONE unless within `started`."""
    if not dist.is_available() or not dist.is_initialized():
        return ALONE
    local = (int(os.environ.get(name, default)) for name, default in (("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1)))
    return Place(dist.get_rank(), dist.get_world_size(), *local)


def under_torchrun() -> bool:
    """Whether torchrun started this process, as one of one or of many: the same command may be run again by it."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def restarts() -> int:
    """How often torchrun has started this training anew, after a process failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


class _Launch:
    """What a started process keeps: the launcher's store, which all processes reach without waiting for each other."""

    store: Any = None


@contextlib.contextmanager
def started() -> Iterator[None]:
    """Join the other processes that the launcher's environment names, if there are any.

    The end of the block ends one of several processes: after an error or SystemExit at once, without waiting for others
    that may be hanging, else when all are there.
    """
    if not all(os.environ.get(name) for name in LAUNCHER_VARIABLES) or int(os.environ["WORLD_SIZE"]) == 1:
        yield
        return
    store, rank, processes = next(rendezvous("env://", timeout=TIMEOUT))
    # torchrun's store outlives the processes: those started anew would find the addresses of the ended ones in it.
    _Launch.store = dist.PrefixStore(f"start {restarts()} of {processes}", store)  # type: ignore[attr-defined]  # it is documented
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, store=_Launch.store, rank=rank, world_size=processes, timeout=TIMEOUT)
    if rank > 0:
        warnings.filterwarnings("ignore")  # the main process has the same
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
    """An orderly end would wait for answers that may never come, and now and then threads of gloo abort it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextlib.contextmanager
def loss_noticed() -> Iterator[None]:
    """Tell what torch raises where another process is gone, or silent for TIMEOUT, as a LostProcessError."""
    try:
        yield
    except RuntimeError as error:  # DistError and what gloo raises are of this kind
        raise LostProcessError(
            "another process of this training ended or no longer answers: see what it or its machine says. Started "
            "again with --continue_train, training goes on from its last checkpoint\n"
            f"(process {place().rank}: {str(error).strip().splitlines()[0][:300]})"
        ) from error


def is_first_to_tell(text: str) -> bool:
    """Whether no other process has asked about this text's first line before: what all have to say, one says."""
    if _Launch.store is None:
        return True
    key = "told/" + hashlib.sha256(text.partition("\n")[0].encode(errors="replace")).hexdigest()
    try:
        return _Launch.store.add(key, 1) == 1
    except RuntimeError:  # the process that holds the store is gone
        return True


def barrier() -> None:
    """Wait until all processes are here."""
    if place().processes > 1:
        with loss_noticed():
            dist.all_reduce(torch.zeros(1))  # dist.barrier() would take a GPU, where there is one


def from_main(function: Callable[[], Result]) -> Result:
    """The result of a function that the main process alone calls, on all processes.

    What it raises for users, or to exit, all raise. The result must be picklable.
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
    """The result of a function that the main process alone calls, there; None on the others. Errors as `from_main`."""
    kept: list[Result] = []
    from_main(lambda: kept.append(function()))
    return kept[0] if kept else None


def gather(value: Any) -> list[Any] | None:
    """The values of all processes by rank, on the main process; None on the others. On one process, [value]."""
    if place().processes == 1:
        return [value]
    values = [None] * place().processes if place().is_main else None
    with loss_noticed():
        dist.gather_object(value, values)
    return values


def scatter(values: list[Any] | None) -> Any:
    """This process's own of the values that the main process has, by rank: the reverse of `gather`."""
    if place().processes == 1:
        assert values is not None
        return values[0]
    own: list[Any] = [None]
    with loss_noticed():
        dist.scatter_object_list(own, values)
    return own[0]


def first_of_all(text: str) -> str:
    """Of the texts that the processes have, the first that is not empty, by rank; all of them get it."""
    if place().processes == 1:
        return text
    texts: list[Any] = [None] * place().processes
    with loss_noticed():
        dist.all_gather_object(texts, text)
    return next((other for other in texts if other), "")


def average(values: Tensor) -> Tensor:
    """The mean over all processes, the same to the bit on each. It stays on the device, which is not waited for."""
    if place().processes == 1:
        return values
    total = values.detach().clone()
    with loss_noticed():
        dist.all_reduce(total)
    return total / place().processes


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Make the gradients of the parameters that are trained the mean over all processes, the same to the bit on each;
    one that a process lacks counts as 0. A single all-reduce of them all, as in the training loop of StyleGAN3 (Karras
    et al. 2021, arXiv:2106.12423): the step may call networks as often as it likes, in any way."""
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
    """The largest of the numbers that the processes have, found in the background."""

    def __init__(self, value: int) -> None:
        self._value = torch.tensor([value])
        with loss_noticed():
            self._work = dist.all_reduce(self._value, op=dist.ReduceOp.MAX, async_op=True)

    def result(self) -> int:
        """The largest number; waits for it."""
        with loss_noticed():
            self._work.wait()
        return int(self._value)


def require_equal(value: int, complaint: str) -> None:
    """Raise UserError, with the complaint and all processes' values, unless these are equal."""
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
    """Give all processes the parameters and buffers of the main one."""
    if place().processes == 1:
        return
    with loss_noticed():
        for network in networks:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, src=0)

"""Selects the device of a run and sets all process-wide state (seeds, backend flags)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from util.arguments import OptionError
from util.distributed import place

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def select_device(gpu_ids: str) -> torch.device:
    """Return the device for `--gpu_ids`: `auto`, a CUDA index such as `0`, `mps`, or `-1` for the CPU.

    With several processes on a machine, `auto` gives each process the GPU of its local rank. Raises OptionError if the
    device does not exist.
    """
    if gpu_ids == "auto":
        return _best_device()
    if gpu_ids != "-1" and place().local_processes > 1:
        raise OptionError(
            f"--gpu_ids {gpu_ids}: several processes train on this machine, each on its own GPU; "
            "omit the option, or select GPUs with CUDA_VISIBLE_DEVICES"
        )
    if gpu_ids == "-1":
        return torch.device("cpu")
    if gpu_ids == "mps":
        if not torch.backends.mps.is_available():
            raise OptionError("--gpu_ids mps: this machine has no Apple GPU; use --gpu_ids -1 for the CPU")
        return torch.device("mps")
    if "," in gpu_ids:
        raise OptionError(f"--gpu_ids {gpu_ids}: a process uses a single GPU; name only one")
    if not gpu_ids.isdigit():
        raise OptionError(f"--gpu_ids {gpu_ids}: expected a GPU index, mps, or -1 for the CPU")
    if not torch.cuda.is_available():
        raise OptionError(f"--gpu_ids {gpu_ids}: torch finds no CUDA GPU; use --gpu_ids -1 for the CPU")
    if int(gpu_ids) >= torch.cuda.device_count():
        raise OptionError(f"--gpu_ids {gpu_ids}: this machine has GPUs 0 to {torch.cuda.device_count() - 1}")
    return torch.device("cuda", int(gpu_ids))


def _best_device() -> torch.device:
    own = place().local_rank
    if torch.cuda.is_available():
        if own >= torch.cuda.device_count():
            raise OptionError(
                f"process {own + 1} on this machine finds only {torch.cuda.device_count()} GPUs: start "
                "at most that many processes (torchrun --nproc_per_node)"
            )
        torch.cuda.set_device(own)  # NCCL uses the current device
        return torch.device("cuda", own)
    return torch.device("mps" if torch.backends.mps.is_available() and place().processes == 1 else "cpu")


def describe_device(device: torch.device) -> str:
    """Describe the device for the console."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads of {os.cpu_count()} cores)"
    return str(device)


def has_quick_bf16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 hardware: NVIDIA from Ampere on, CPUs with AMX or AVX-512 BF16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def set_tf32(enabled: bool) -> None:
    """Allow or forbid TF32 on NVIDIA GPUs: float32 products and convolutions of inputs rounded to 10 mantissa bits."""
    torch.backends.cuda.matmul.allow_tf32 = enabled
    torch.backends.cudnn.allow_tf32 = enabled


def set_cudnn_benchmark(enabled: bool) -> None:
    """Set whether cuDNN benchmarks its algorithms at the first convolution of each shape. Pays off with few shapes."""
    torch.backends.cudnn.benchmark = enabled


def keep_freed_memory() -> None:
    """Make malloc keep freed memory for later tensors, in huge pages if Linux offers them.

    A training step on a CPU allocates the same sizes again and again, and each page that the system returns has to be
    cleared first. Call this before the first tensor is created."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_THRESHOLD, 2**30)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def memory_in_use(device: torch.device) -> int:
    """Return the bytes that this process uses: peak tensor memory on a GPU, resident memory on a CPU; 0 if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if device.type == "mps":
        return int(torch.mps.current_allocated_memory())
    try:
        resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return resident_pages * os.sysconf("SC_PAGE_SIZE")


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch (all devices). Data loading uses separate generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of the generators of torch, NumPy and Python as tensors and plain values."""
    version, words, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state()
    state = {
        "torch": torch.get_rng_state(),
        "python": [version, torch.tensor(words), gauss],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Restore what `random_state` returned. The state of a device that is no longer present is ignored."""
    torch.set_rng_state(state["torch"].cpu())
    if "python" in state:  # checkpoints of older versions lack these
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words.tolist()), gauss))
        kind, keys, *rest = state["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)

"""The fused normalisation for CPUs: norm_cpu.cpp, compiled once for each kind of machine and kept."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from util.files import atomic_path

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
SUFFIXES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
"""Types of images that there is a kernel for."""


class CompilerError(Exception):
    """The kernels cannot be compiled here; the message says why."""


def cache_folder() -> Path:
    """Where compiled kernels are kept: $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faceaging-by-cyclegan"


@cache
def library() -> ctypes.CDLL:
    """The compiled kernels. Raises CompilerError where there is no compiler for them."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise CompilerError("no C++ compiler found (g++, clang++ or $CXX)")
    path = cache_folder() / f"norm_{_fingerprint(compiler)}.so"
    try:
        if not path.is_file():
            with atomic_path(path) as temporary:
                subprocess.run([compiler, *FLAGS, str(SOURCE), "-o", str(temporary)],
                               check=True, capture_output=True, text=True, timeout=300)  # fmt: skip
        return ctypes.CDLL(str(path))
    except subprocess.CalledProcessError as error:
        raise CompilerError(f"{compiler} cannot compile {SOURCE.name}: {error.stderr.strip()[-300:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompilerError(f"{SOURCE.name} could not be compiled or loaded: {error}") from error


def _fingerprint(compiler: str) -> str:
    """Of all that the compiled kernels follow from; a home folder may be shared by machines of many kinds."""
    parts = [SOURCE.read_bytes(), " ".join((compiler, *FLAGS)).encode(), _processor().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> str:
    """What `-march=native` looks at."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return " ".join(os.uname()) if hasattr(os, "uname") else ""
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p | None:
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())


def _shape(x: Tensor, padding: int) -> ctypes.Array[ctypes.c_long]:
    images, channels, height, width = x.shape
    return (ctypes.c_long * 5)(images, height, width, channels, padding)


def forward(
    x: Tensor, residual: Tensor | None, padded: Tensor | None, plain: Tensor | None, mean: Tensor, scale: Tensor,
    padding: int, slope: float, eps: float,
) -> None:  # fmt: skip
    """See `models.fused.norm`; fills padded, plain, mean and scale."""
    function = getattr(library(), f"forward_{SUFFIXES[x.dtype]}")
    function(_shape(x, padding), *map(_pointer, (x, residual, padded, plain, mean, scale)),
             ctypes.c_double(slope), ctypes.c_double(eps))  # fmt: skip


def backward(
    x: Tensor, mean: Tensor, scale: Tensor, of_padded: Tensor | None, of_plain: Tensor | None, of_x: Tensor,
    of_residual: Tensor | None, padding: int, slope: float,
) -> None:  # fmt: skip
    """See `models.fused.norm`; fills of_x and, where it is given, of_residual."""
    function = getattr(library(), f"backward_{SUFFIXES[x.dtype]}")
    pointers = map(_pointer, (x, mean, scale, of_padded, of_plain, of_x, of_residual))
    function(_shape(x, padding), *pointers, ctypes.c_double(slope))

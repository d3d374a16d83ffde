"""C++ kernels for CPUs, compiled once for each kind of machine and kept in the user's cache folder."""

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

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
SUFFIXES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
"""Types of images that there is a kernel for."""


class CompilerError(Exception):
    """The kernels cannot be compiled here; the message says why."""


def cache_folder() -> Path:
    """Where compiled kernels are kept: $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faceaging-by-cyclegan"


@cache
def library(source: Path) -> ctypes.CDLL:
    """The kernels of a C++ file, compiled. Raises CompilerError where there is no compiler for them."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise CompilerError("no C++ compiler found (g++, clang++ or $CXX)")
    try:
        path = cache_folder() / f"{source.stem}_{_fingerprint(compiler, source)}.so"
        if not path.is_file():
            with atomic_path(path) as temporary:
                subprocess.run(
                    [compiler, *FLAGS, str(source), "-o", str(temporary)],
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=300,
                )
        return ctypes.CDLL(str(path))
    except subprocess.CalledProcessError as error:
        raise CompilerError(f"{compiler} cannot compile {source.name}: {error.stderr.strip()[-300:]}") from error
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:  # RuntimeError: no home folder is known
        raise CompilerError(f"{source.name} could not be compiled or loaded: {error}") from error


def _fingerprint(compiler: str, source: Path) -> str:
    """Of all that the compiled kernels follow from; a home folder may be shared by machines of many kinds."""
    parts = [
        source.read_bytes(),
        source.with_name("types.h").read_bytes(),
        " ".join((compiler, *FLAGS)).encode(),
        _processor().encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> str:
    """What `-march=native` looks at."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return " ".join(os.uname()) if hasattr(os, "uname") else ""
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))


def pointer(tensor: Tensor | None) -> ctypes.c_void_p | None:
    """A tensor's memory, for a kernel."""
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())


def numbers(*values: int) -> ctypes.Array[ctypes.c_long]:
    """Sizes, for a kernel."""
    return (ctypes.c_long * len(values))(*values)

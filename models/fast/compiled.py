"""Compiles C++ kernels for CPUs, once for each type of machine, and keeps them in the user's cache folder."""

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
"""Kernel name suffixes of the supported image types."""


class CompilerError(Exception):
    """Raised if the kernels cannot be compiled on this machine; the message contains the reason."""


def cache_folder() -> Path:
    """Return the folder for compiled kernels, in $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faceaging-by-cyclegan"


@cache
def library(source: Path) -> ctypes.CDLL:
    """Compile the kernels of a C++ file, if they are not in the cache, and load them. Raises CompilerError."""
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
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:  # RuntimeError: the home folder is unknown
        raise CompilerError(f"{source.name} could not be compiled or loaded: {error}") from error


def _fingerprint(compiler: str, source: Path) -> str:
    """Hash everything that determines the compiled kernels, because different machines may share a home folder."""
    parts = [
        source.read_bytes(),
        source.with_name("types.h").read_bytes(),
        " ".join((compiler, *FLAGS)).encode(),
        _processor().encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> str:
    """Describe the processor features that `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return " ".join(os.uname()) if hasattr(os, "uname") else ""
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))


def pointer(tensor: Tensor | None) -> ctypes.c_void_p | None:
    """Return the address of a tensor as a kernel argument."""
    return None if tensor is None else ctypes.c_void_p(tensor.data_ptr())


def numbers(*values: int) -> ctypes.Array[ctypes.c_long]:
    """Return sizes as a kernel argument."""
    return (ctypes.c_long * len(values))(*values)

"""Checkpoint files: plain state dicts under the public names, read without executing anything that they hold."""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from util.state_dicts import CheckpointError as CheckpointError
from util.state_dicts import adapt_state_dict


class _Hashing:
    """A file that is only written to, and hashed meanwhile. A failure is kept for later in `error`: torch's writer must
    not see it, as it would go through its C++ code."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """Nothing: the file is flushed once, at the end."""


def save_file(content: Any, path: Path) -> str:
    """Write tensors and plain values to `path` and flush them to disk; returns the SHA-256. Raises OSError."""
    with path.open("wb") as file:
        hashing = _Hashing(file)
        torch.save(content, hashing)  # type: ignore[arg-type]  # all that it needs of a file
        if hashing.error is not None:
            raise hashing.error
        file.flush()
        os.fsync(file.fileno())
    return hashing.digest.hexdigest()


def size_of(content: Any) -> int:
    """The bytes that tensors within dictionaries and lists occupy; all else is little."""
    if isinstance(content, Tensor):
        return content.numel() * content.element_size()
    if isinstance(content, Mapping):
        return sum(map(size_of, content.values()))
    return sum(map(size_of, content)) if isinstance(content, (list, tuple)) else 0


HARMLESS: list[Any] = [argparse.Namespace]
"""What checkpoints of other code hold besides tensors and plain values, and what runs nothing: their options."""


def load_file(path: Path, device: torch.device | str = "cpu") -> Any:
    """Read tensors and plain values from a `.pth` file (any torch since 0.4) or a `.safetensors` one. Never runs code
    that the file may hold.

    Raises CheckpointError for a missing or damaged file and for a pickle that needs more than tensors and plain values.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist" + _list_checkpoints(path.parent))
    if path.suffix == SAFETENSORS:
        return _load_safetensors(path, device)
    try:
        refuse_bombs(path)
        with torch.serialization.safe_globals(HARMLESS):
            content = torch.load(path, map_location=device, weights_only=True)
        if tensor_bytes(content) > max(FREE_BYTES, MAX_RATIO * path.stat().st_size):
            raise CheckpointError(
                f"{path} holds tensors far larger than itself: no checkpoint, but made to fill memory"
            )
        return content
    except pickle.UnpicklingError as error:
        if needed := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise CheckpointError(
                f"{path} holds Python objects besides tensors and plain values ({needed[1]}), and is refused because "
                "loading it could run code from the file. If you trust its origin, load it where it was made and save "
                "its state_dict() alone."
            ) from error
        raise CheckpointError(f"{path} is damaged or no checkpoint (it cannot be read as plain values)") from error
    except CheckpointError:
        raise
    except Exception as error:  # a damaged archive surfaces as RuntimeError, EOFError, ValueError, KeyError ...
        raise CheckpointError(
            f"{path} is damaged or no checkpoint: {type(error).__name__}: {_first_line(error)}"
        ) from error


SAFETENSORS = ".safetensors"
"""Suffix of files that hold tensors by name and nothing else, which other programs than torch read, too."""


def _load_safetensors(path: Path, device: torch.device | str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file as load

    try:
        return load(path, device=str(device))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {_first_line(error)}") from error


MAX_RATIO, FREE_BYTES = 100, 64 * 2**20
"""Of tensors to the file that they come from, and the size below which no ratio is a danger."""


def tensor_bytes(content: Any, seen: set[int] | None = None) -> int:
    """What all tensors in nested containers take once they are copied: views may repeat one number without end."""
    seen = set() if seen is None else seen
    if id(content) in seen:
        return 0
    seen.add(id(content))
    if isinstance(content, Tensor):
        return content.numel() * content.element_size()
    if isinstance(content, Mapping):
        return sum(tensor_bytes(value, seen) for value in content.values())
    return sum(tensor_bytes(value, seen) for value in content) if isinstance(content, (list, tuple)) else 0


def refuse_bombs(path: Path) -> None:
    """Raise CheckpointError for a file whose parts are compressed, as torch never writes them: it would read them
    whole, however much larger than the file they are."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
                raise CheckpointError(f"{path} holds more than its own size: no checkpoint, but a decompression bomb")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _list_checkpoints(folder: Path) -> str:
    if not folder.is_dir():
        return f" ({folder} is no folder)"
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".pth", SAFETENSORS))
    return f"; {folder} holds {', '.join(names) if names else 'no checkpoint'}"


def load_network(network: nn.Module, path: Path, name: str = "") -> None:
    """Fill `network` from a file saved here or by the public code base, on any device. name: which one it is, where
    the file has several.

    Raises CheckpointError, before anything is changed, naming the keys or shapes that do not fit.
    """
    state = adapt_state_dict(load_file(path), network, path, name)
    network.load_state_dict(state)

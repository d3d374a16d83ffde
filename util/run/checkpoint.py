"""Checkpoint files: plain state dicts under the public code base's names, loaded without executing code from them."""

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
    """A write-only file that hashes what is written. An OSError is stored in `error` rather than raised, because it
    must not pass through the C++ code of torch's writer."""

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
        """Do nothing: the file is flushed once, at the end."""


def save_file(content: Any, path: Path) -> str:
    """Write tensors and plain values to `path`, flush them to disk, and return the SHA-256. Raises OSError."""
    with path.open("wb") as file:
        hashing = _Hashing(file)
        torch.save(content, hashing)  # type: ignore[arg-type]  # torch.save needs no other methods
        if hashing.error is not None:
            raise hashing.error
        file.flush()
        os.fsync(file.fileno())
    return hashing.digest.hexdigest()


HARMLESS: list[Any] = [argparse.Namespace]
"""Harmless classes in checkpoints of other code besides tensors and plain values: the saved options."""


def load_file(path: Path, device: torch.device | str = "cpu") -> Any:
    """Read tensors and plain values from a `.pth` file (of any torch since 0.4) or a `.safetensors` file.

    Never executes code from the file. Raises CheckpointError for a missing or damaged file, and for a pickle that
    contains other objects than tensors and plain values.
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
                f"{path} is refused: its tensors are more than {MAX_RATIO} times larger than the file"
            )
        return content
    except pickle.UnpicklingError as error:
        if needed := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise CheckpointError(
                f"{path} is refused because it contains Python objects other than tensors and plain values "
                f"({needed[1]}), and loading these could execute code from the file. If you trust the file, load it "
                "with the code that saved it, and save only its state_dict()."
            ) from error
        raise CheckpointError(f"{path} is damaged or not a checkpoint (it cannot be read as plain values)") from error
    except CheckpointError:
        raise
    except Exception as error:  # a damaged archive surfaces as RuntimeError, EOFError, ValueError, KeyError ...
        raise CheckpointError(
            f"{path} is damaged or not a checkpoint: {type(error).__name__}: {_first_line(error)}"
        ) from error


SAFETENSORS = ".safetensors"
"""Suffix of files that contain only named tensors, and can be read by other programs than torch."""


def _load_safetensors(path: Path, device: torch.device | str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file as load

    try:
        return load(path, device=str(device))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or not a safetensors file: {_first_line(error)}") from error


MAX_RATIO, FREE_BYTES = 100, 64 * 2**20
"""Largest accepted ratio of the tensors' size to the file's, and the size up to which any ratio is accepted."""


def tensor_bytes(content: Any, seen: set[int] | None = None) -> int:
    """Return the bytes that all tensors in nested containers need once copied. Expanded views may need far more than
    they occupy in the file."""
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
    """Raise CheckpointError for a zip file with compressed members. torch never writes these, but would read them
    whole, however large they are."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
                raise CheckpointError(
                    f"{path} is refused as a likely decompression bomb: torch does not compress its files"
                )


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _list_checkpoints(folder: Path) -> str:
    if not folder.is_dir():
        return f" ({folder} is not a folder)"
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".pth", SAFETENSORS))
    return f"; {folder} contains {', '.join(names) if names else 'no checkpoint'}"


def load_network(network: nn.Module, path: Path, name: str = "") -> None:
    """Load `network`, on any device, from a file saved here or by the public code base.

    name: which network to load if the file contains several. Raises CheckpointError, naming the keys or shapes that do
    not fit, before anything is changed.
    """
    state = adapt_state_dict(load_file(path), network, path, name)
    network.load_state_dict(state)

"""Compact weight files for distribution: float16 tensors and plain values in a safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from util.run.checkpoint import CheckpointError, load_file

CONTENT = "content"


def save_weights(weights: Mapping[str, Tensor], content: Mapping[str, Any], path: Path) -> None:
    """Write tensors (floating-point ones as float16) and JSON-serializable values to a file. Raises OSError."""
    halved = {
        name: (value.half() if value.is_floating_point() else value).contiguous() for name, value in weights.items()
    }
    try:
        save_file(halved, path, metadata={CONTENT: json.dumps(content)})
    except SafetensorError as error:  # safetensors does not raise OSError
        raise OSError(f"{path} cannot be written: {error}") from error


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a safetensors file (16-bit ones as float32) and the values that `save_weights` added.

    Raises CheckpointError for a missing or damaged file.
    """
    weights = load_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {}).get(CONTENT, "{}"))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged or not a safetensors file: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is damaged: the values in its metadata are not a dictionary")
    widened = {
        name: value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        for name, value in weights.items()
    }
    return widened, content

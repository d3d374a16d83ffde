"""Adapts state dicts that other code saved, under other names or in nested dictionaries, to the networks here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from util.errors import UserError
from util.text import first_few

RUNNING_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
MAX_DEPTH = 6
"""Maximum depth of nested dictionaries in a file; two or three are usual for a module that contains networks."""
DIRECTIONS = {"A": ("AB", "A2B"), "B": ("BA", "B2A")}
"""Suffixes that other code uses for the generators of each letter: `netG_A2B` is G_A here."""


class CheckpointError(UserError):
    """Raised for a missing, damaged or incompatible checkpoint; the message names the file and says what to do."""


class MissingNetworkError(CheckpointError):
    """Raised for a file that contains networks, but not the requested one."""


def adapt_state_dict(content: Any, network: nn.Module, path: Path, name: str = "") -> dict[str, Tensor]:
    """Extract the entries that `network` needs from a file's content, under the network's own names.

    They may be in nested dictionaries (`{"state_dict": ...}`) and have a prefix: `module.` (saved under DataParallel),
    or the network's name in a module of several. Files of older releases may contain running statistics for instance
    norms that do not track them, or batch norms without `num_batches_tracked` (torch before 0.4.1). Raises
    CheckpointError if the entries do not fit.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} contains {type(content).__name__} instead of a network's state dict of tensors")
    expected = network.state_dict()
    adapted = choose_network(flat_tensors(content), expected, path, name)
    if not all(_is_plain(value) for value in adapted.values()):
        raise CheckpointError(f"{path} contains complex, quantized, sparse or meta tensors, which no network here uses")
    for key, value in expected.items():
        if key.endswith("num_batches_tracked"):
            adapted.setdefault(key, torch.zeros_like(value))
    move_biases(adapted, expected)
    adapted = {key: value for key, value in adapted.items() if key in expected or not _is_statistic(key)}
    _check_fit(adapted, expected, path)
    return adapted


def flat_tensors(content: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, Tensor]:
    """Flatten nested dictionaries to tensors by their keys, joined with dots. Everything else, such as an epoch number
    or a list of optimizers, is dropped."""
    found: dict[str, Tensor] = {}
    for key, value in content.items():
        if isinstance(value, Tensor) and isinstance(key, str):
            found[prefix + key] = value
        elif isinstance(value, Mapping) and isinstance(key, str) and depth < MAX_DEPTH:
            found |= flat_tensors(value, f"{prefix}{key}.", depth + 1)
    return found


def choose_network(tensors: dict[str, Tensor], expected: Iterable[str], path: Path, name: str) -> dict[str, Tensor]:
    """Select the tensors of one network, without the prefix that all of its keys have in the file.

    Raises MissingNetworkError if the file contains other networks but not the one of this name.
    """
    if not tensors:
        raise CheckpointError(f"{path} contains no tensors, and so no network")
    prefixes = list(_prefixes(tensors, next(iter(expected))))
    named = [prefix for prefix in prefixes if names_of(name) & set(prefix.replace("-", "_").split("."))]
    if len(prefixes) > 1 and len(named) != 1:
        shown = ", ".join(repr(prefix) for prefix in prefixes[:8])
        raise MissingNetworkError(
            f"{path} contains several networks ({shown}), and {'none' if not named else 'more than one'} of them "
            f"is named {name or 'as expected'}"
        )
    if len(prefixes) == 1 and name and not named and not _is_meant(prefixes[0], path, name):
        raise MissingNetworkError(f"{path} does not contain {name}")
    prefix = (named or prefixes or [""])[0]
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _prefixes(tensors: Iterable[str], first: str) -> Iterator[str]:
    """Yield the prefix of each occurrence of the key `first` of a network."""
    for key in tensors:
        prefix = key.removesuffix(first)
        if key.endswith(first) and (not prefix or prefix.endswith(".")):
            yield prefix


def names_of(name: str) -> set[str]:
    """Return the names that other code uses for a network such as G_A: netG_A, net_G_A, G_AB, G_A2B, netG_A2B."""
    kind, _, letter = name.partition("_")
    letters = (letter, *(DIRECTIONS.get(letter, ()) if kind == "G" else ()))
    plain = {f"{kind}_{each}" for each in letters}
    return {before + each for before in ("", "net", "net_") for each in plain} if letter else set()


def _is_meant(prefix: str, path: Path, name: str) -> bool:
    """Return whether the only network in a file is `name`, by its prefix or the file name; by default, it is G_A."""
    every = {other: names_of(other) for other in ("G_A", "G_B", "D_A", "D_B")}
    told = [other for other, names in every.items() if names & set(prefix.split("."))]
    told = told or [other for other, names in every.items() if any(path.stem.endswith(f"_{each}") for each in names)]
    return name == (told[0] if told else "G_A")


def move_biases(state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Add or remove biases of convolutions before a normalisation to match the network, without changing its output.

    A batch norm subtracts the mean and so the bias: a bias that the network here lacks is subtracted from the running
    mean. A bias that the file lacks is set to 0.
    """
    for key in [key for key in state if key.endswith(".bias") and key not in expected]:
        mean = _follower(key, "running_mean")
        if mean in state and mean in expected and state[mean].shape == state[key].shape:
            state[mean] = state[mean] - state.pop(key)
    if all(key in expected or _is_statistic(key) for key in state):
        for key, value in expected.items():
            if key.endswith(".bias") and f"{key[:-4]}weight" in state and key not in state and value.ndim == 1:
                state[key] = torch.zeros_like(value)


def _follower(key: str, name: str) -> str:
    """Return the key of an entry of the next layer: `model.5.running_mean` for `model.4.bias`."""
    layer, _, number = key.rpartition(".")[0].rpartition(".")
    return f"{layer}.{int(number) + 1}.{name}" if number.isdecimal() else ""


def _is_plain(value: Tensor) -> bool:
    """Return whether a tensor can be copied into a parameter: dense, real, not quantized, not on the meta device."""
    return value.layout == torch.strided and not (value.is_complex() or value.is_quantized or value.is_meta)


def _is_statistic(name: str) -> bool:
    return name.rpartition(".")[2] in RUNNING_STATISTICS


def _check_fit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    missing = [name for name in expected if name not in state]
    surplus = [name for name in state if name not in expected]
    shapes = [
        f"{name} has shape {tuple(value.shape)} in the file and {tuple(expected[name].shape)} here"
        for name, value in state.items()
        if name in expected and value.shape != expected[name].shape
    ]
    problems = (
        [f"it lacks {first_few(missing, 3)}"] * bool(missing)
        + [f"it has unknown {first_few(surplus, 3)}"] * bool(surplus)
        + shapes[:3]
    )
    if problems:
        raise CheckpointError(
            f"{path} does not fit this network: {'; '.join(problems)}. Check --netG, --netD, --ngf, --ndf, --norm, "
            f"--dropout, --input_nc and --output_nc against the options that it was trained with."
        )

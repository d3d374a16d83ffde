"""State dicts under the names and in the wrappings that other code saves them with, made to fit a network here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from util.errors import UserError

RUNNING_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
MAX_DEPTH = 6
"""Of dictionaries within one another in a file; a module that holds a network is saved with two or three."""
DIRECTIONS = {"A": ("AB", "A2B"), "B": ("BA", "B2A")}
"""Of a network of each letter, what it translates, as other code names it: `netG_A2B` is G_A here."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged or of another network; the message names the file and the remedy."""


class MissingNetworkError(CheckpointError):
    """A file that holds networks, but not the one that was asked for."""


def adapt_state_dict(content: Any, network: nn.Module, path: Path, name: str = "") -> dict[str, Tensor]:
    """The entries of a file's content that `network` needs, under its names.

    They may lie in dictionaries within one another (`{"state_dict": ...}`) and have a prefix: `module.` (saved under
    DataParallel), or the network's name in a module of several. Files of older releases may have running statistics of
    instance norms that track none, or batch norms without `num_batches_tracked` (torch before 0.4.1).
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds {type(content).__name__} rather than a network's state dict of tensors")
    expected = network.state_dict()
    adapted = choose_network(flat_tensors(content), expected, path, name)
    if not all(_is_plain(value) for value in adapted.values()):
        raise CheckpointError(f"{path} holds tensors of a kind that no network here is saved with")
    for key, value in expected.items():
        if key.endswith("num_batches_tracked"):
            adapted.setdefault(key, torch.zeros_like(value))
    move_biases(adapted, expected)
    adapted = {key: value for key, value in adapted.items() if key in expected or not _is_statistic(key)}
    _check_fit(adapted, expected, path)
    return adapted


def flat_tensors(content: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, Tensor]:
    """All tensors in dictionaries within one another, by their keys with dots between. All else, such as the number of
    an epoch or a list of optimizers, is left out."""
    found: dict[str, Tensor] = {}
    for key, value in content.items():
        if isinstance(value, Tensor) and isinstance(key, str):
            found[prefix + key] = value
        elif isinstance(value, Mapping) and isinstance(key, str) and depth < MAX_DEPTH:
            found |= flat_tensors(value, f"{prefix}{key}.", depth + 1)
    return found


def choose_network(tensors: dict[str, Tensor], expected: Iterable[str], path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of one network, without the prefix that all of its keys have in the file.

    Raises MissingNetworkError where the file has other networks than the one of this name.
    """
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors, and so no network")
    prefixes = list(_prefixes(tensors, next(iter(expected))))
    named = [prefix for prefix in prefixes if names_of(name) & set(prefix.replace("-", "_").split("."))]
    if len(prefixes) > 1 and len(named) != 1:
        shown = ", ".join(repr(prefix) for prefix in prefixes[:8])
        raise MissingNetworkError(
            f"{path} holds several networks ({shown}), and {'none' if not named else 'several'} "
            f"called {name or 'as it should be'}"
        )
    if len(prefixes) == 1 and name and not named and not _is_meant(prefixes[0], path, name):
        raise MissingNetworkError(f"{path} holds no {name}")
    prefix = (named or prefixes or [""])[0]
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _prefixes(tensors: Iterable[str], first: str) -> Iterator[str]:
    """What comes before the key `first` of a network, wherever the file has it."""
    for key in tensors:
        prefix = key.removesuffix(first)
        if key.endswith(first) and (not prefix or prefix.endswith(".")):
            yield prefix


def names_of(name: str) -> set[str]:
    """What other code calls the network of a name such as G_A: netG_A, net_G_A, G_AB, G_A2B, netG_A2B."""
    kind, _, letter = name.partition("_")
    letters = (letter, *(DIRECTIONS.get(letter, ()) if kind == "G" else ()))
    plain = {f"{kind}_{each}" for each in letters}
    return {before + each for before in ("", "net", "net_") for each in plain} if letter else set()


def _is_meant(prefix: str, path: Path, name: str) -> bool:
    """Whether the only network in a file is the one of a name: as its prefix or the file's name says, else G_A."""
    every = {other: names_of(other) for other in ("G_A", "G_B", "D_A", "D_B")}
    told = [other for other, names in every.items() if names & set(prefix.split("."))]
    told = told or [other for other, names in every.items() if any(path.stem.endswith(f"_{each}") for each in names)]
    return name == (told[0] if told else "G_A")


def move_biases(state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Make the biases of convolutions before a normalisation those that the network here has, without another output.

    A batch norm takes its mean away again, and so the bias: where there is none for it here, it goes into the running
    mean. Where there is one here and none in the file, it is 0.
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
    """`model.5.running_mean` for `model.4.bias`."""
    layer, _, number = key.rpartition(".")[0].rpartition(".")
    return f"{layer}.{int(number) + 1}.{name}" if number.isdecimal() else ""


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor can be copied into a parameter: real numbers, one after another, in memory."""
    return value.layout == torch.strided and not (value.is_complex() or value.is_quantized or value.is_meta)


def _is_statistic(name: str) -> bool:
    return name.rpartition(".")[2] in RUNNING_STATISTICS


def _check_fit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    missing = [name for name in expected if name not in state]
    surplus = [name for name in state if name not in expected]
    shapes = [
        f"{name} is {tuple(value.shape)} in the file and {tuple(expected[name].shape)} here"
        for name, value in state.items()
        if name in expected and value.shape != expected[name].shape
    ]
    problems = (
        [f"lacks {_few(missing)}"] * bool(missing) + [f"has unknown {_few(surplus)}"] * bool(surplus) + shapes[:3]
    )
    if problems:
        raise CheckpointError(
            f"{path} is of another network: it {'; '.join(problems)}. Check --netG, --netD, --ngf, --ndf, --norm, "
            f"--dropout, --input_nc and --output_nc against the options that it was trained with."
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

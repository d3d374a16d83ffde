"""Load the generators of a run, each with its card. Imports torch, unlike most modules of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from aging.card import DIRECTIONS, GREY_HAIR, OPPOSITE, Card
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions
from options.base_options import CheckpointChoice, ChoiceOptions, Command, RunOptions, Sections, gather, restore_all
from util.arguments import build, option
from util.files import sha256_of
from util.run.checkpoint import CheckpointError
from util.run.run_folder import LATEST, RunFolder


@dataclass(frozen=True)
class PictureOptions:
    """images"""

    crop_size: int = option(256, help="height and width of the training images", unit="pixels", least=1, most=4096)
    test_size: int = option(
        0, help="height and width at which photos are translated; 0: --crop_size", unit="pixels", least=0, most=4096
    )


ARCHITECTURE: Sections = {"network": NetworkOptions, "generator": GeneratorOptions, "pictures": PictureOptions}
"""Options that define the networks of a checkpoint. Runs of this project save them."""
SECTIONS: Sections = {"run": RunOptions, "checkpoint": CheckpointChoice, **ARCHITECTURE}


class Trained(NamedTuple):
    """One direction of a run."""

    network: nn.Module
    """in evaluation mode, in float32 on the CPU, layer by layer"""
    card: Card


class ChosenRun(NamedTuple):
    """The run that a command line names, and the command's options."""

    folder: RunFolder
    label: str
    """label of the checkpoint, such as latest"""
    generators: dict[str, Trained]
    """by direction: older or younger"""
    further: dict[str, Any]
    """the command's own option sections by name"""


def read_run(program: str, description: str, further: Sections, argv: Sequence[str] | None) -> ChosenRun:
    """Parse the command line of a command whose options are SECTIONS and `further`, and load the run's generators.

    Raises CheckpointError if there are none, OptionError; exits with a message if a value is invalid.
    """
    sections = {**SECTIONS, **further}
    command = Command(program, description, lambda choice: sections, False, lambda values: ChoiceOptions())
    gathered = gather(command, argv, wants_saved=lambda typed: True)
    values = {**_restored(gathered.saved), **gathered.typed}
    if "crop_size" in gathered.typed:
        values["test_size"] = gathered.typed.get("test_size", 0)
    label = build(CheckpointChoice, values).label
    generators = load_generators(gathered.folder, label, values)
    return ChosenRun(gathered.folder, label, generators, {name: build(further[name], values) for name in further})


def run_generators(folder: RunFolder) -> dict[str, Trained]:
    """The generators of a run by direction (older, younger), built from its saved options. Raises CheckpointError,
    OptionError."""
    return load_generators(folder, LATEST, _restored(folder.read_options()))


def _restored(saved: Mapping[str, Any]) -> dict[str, Any]:
    return {**restore_all(ARCHITECTURE, saved), "direction": saved.get("direction", "AtoB")}


def load_generators(folder: RunFolder, label: str, values: Mapping[str, Any]) -> dict[str, Trained]:
    """The existing generators of a run by direction.

    values: the options in ARCHITECTURE, and the `direction` of the training. Raises CheckpointError if there is no
    generator.
    """
    found = {}
    for file_name, direction in {"G": "older", **DIRECTIONS}.items():
        path = folder.weights_path(label, file_name)
        if path.is_file():
            meant = OPPOSITE[direction] if values["direction"] == "BtoA" else direction
            for trained in _load(folder, label, file_name, meant, path, values):
                found[trained.card.direction] = trained
    if not found:
        raise CheckpointError(
            f"{folder.path} contains no generator: expected {folder.network_path(label, 'G_A').name}; "
            "select a run with --name and --checkpoints_dir"
        )
    return found


def _load(
    folder: RunFolder, label: str, name: str, direction: str, path: Path, values: Mapping[str, Any]
) -> list[Trained]:
    """A generator and, if it turns hair grey, the network that does so on its own, because it should see more of the
    head."""
    options, shape = build(NetworkOptions, values), build(GeneratorOptions, values)
    if name == "G_B":
        options, shape = options.reversed(), shape.backward()
    network = create_generator(options, shape)
    folder.load_networks(label, {name: network})
    multiple = network.size_multiple
    pictures = build(PictureOptions, values)
    size = max(1, (pictures.test_size or pictures.crop_size) // multiple) * multiple
    card = Card(
        name=folder.path.name,
        network=name,
        direction=direction,
        size=size,
        size_multiple=multiple,
        input_channels=options.input_nc,
        output_channels=options.output_nc,
        residual=network.residual,
        weights_bits=32,
        source_sha256=sha256_of(path),
    )
    hair, network.grey_hair = network.grey_hair, None
    parts = [Trained(network.eval().requires_grad_(False), card)]
    if hair is not None:
        card = replace(card, network=GREY_HAIR, direction=GREY_HAIR, size_multiple=1, residual=False)
        parts.append(Trained(hair.eval(), card))
    return parts

"""Runs whose networks are small, random, and change what they see; what a run left behind, to be compared."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions


def make_run(folder: Path, name: str = "run", **options: object) -> Path:
    """The folder of a run; options are those of the generators, and others that opt.json notes."""
    values = {"netG": "resnet_2blocks", "ngf": 16, "crop_size": 64, **options}
    path = folder / name
    path.mkdir(parents=True)
    (path / "opt.json").write_text(json.dumps({**values, "model": "cycle_gan"}))
    known = {key: value for key, value in values.items() if key in GeneratorOptions.__dataclass_fields__}
    for seed, network in enumerate(("G_A", "G_B")):
        torch.manual_seed(seed)
        generator = create_generator(NetworkOptions(init_gain=0.1), GeneratorOptions(**known))
        convolutions = [layer for layer in generator.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        nn.init.normal_(convolutions[-1].weight, std=0.05)
        torch.save(generator.state_dict(), path / f"latest_net_{network}.pth")
    return path


def weights(run: Path, label: str = "latest") -> dict[str, Tensor]:
    """All weights of a CycleGAN's checkpoint, by network and name."""
    return {
        f"{name}.{key}": value
        for name in ("G_A", "G_B", "D_A", "D_B")
        for key, value in torch.load(run / f"{label}_net_{name}.pth", weights_only=True).items()
    }


def same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    """Whether they are equal to the last bit."""
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def reports(table: Path) -> list[dict[str, str]]:
    """The rows of loss_log.csv or held_out.csv without the times that they took."""
    with table.open(newline="") as file:
        return [{name: value for name, value in row.items() if "seconds" not in name} for row in csv.DictReader(file)]

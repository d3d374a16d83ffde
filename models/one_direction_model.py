"""One generator, one direction: for photos of one kind, without the other domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.base_model import BaseModel
from models.fast.speed import SpeedOptions, accelerate
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions
from util.arguments import option, section


@dataclass(frozen=True)
class OneDirectionOptions:
    """one direction"""

    model_suffix: str = option("", help="which generator: _A makes B from A (young to old), _B makes A from B")
    network: NetworkOptions = section(NetworkOptions)
    generator: GeneratorOptions = section(GeneratorOptions)
    speed: SpeedOptions = section(SpeedOptions)

    @property
    def channels(self) -> dict[str, int]:
        """Of the photos under "A", and of their translations."""
        return {"A": self.translator.input_nc, "B": self.translator.output_nc}

    @property
    def translator(self) -> NetworkOptions:
        """The options of the one network: of G_B, A's channels are those of the run's domain B."""
        return self.network.reversed() if self.model_suffix == "_B" else self.network


class OneDirectionModel(BaseModel):
    """The generator `G` + `--model_suffix` of a checkpoint."""

    options_class = OneDirectionOptions
    trainable = False

    def __init__(
        self,
        options: OneDirectionOptions,
        device: torch.device,
        *,
        training: bool = False,
        seed: int = 0,
        parts: int = 1,
    ) -> None:
        super().__init__(options, device)
        self.generator = create_generator(options.translator, options.generator).to(device)
        self.networks = {f"G{options.model_suffix}": self.generator}
        self.speed = options.speed.resolve(device, training=False)
        accelerate(self.generator, self.speed)
        self.inference()

    @torch.no_grad()
    def translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """real and fake of the photos under "A"."""
        real = batch["A"].to(self.device, non_blocking=True)
        return {"real": real, "fake": self.generator(real)}

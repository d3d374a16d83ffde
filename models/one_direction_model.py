"""A single generator, to translate photos in one direction without photos of the other domain."""

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

    model_suffix: str = option(
        "", help="generator to use: _A translates A to B (young to old), _B translates B to A (old to young)"
    )
    network: NetworkOptions = section(NetworkOptions)
    generator: GeneratorOptions = section(GeneratorOptions)
    speed: SpeedOptions = section(SpeedOptions)

    @property
    def channels(self) -> dict[str, int]:
        """Number of channels of the photos under "A" and of their translations under "B"."""
        return {"A": self.translator.input_nc, "B": self.translator.output_nc}

    @property
    def translator(self) -> NetworkOptions:
        """The options of the generator. For G_B, the input has the channels of the run's domain B."""
        return self.network.reversed() if self.model_suffix == "_B" else self.network

    @property
    def way(self) -> GeneratorOptions:
        """The generator's own options."""
        return self.generator.backward() if self.model_suffix == "_B" else self.generator


class OneDirectionModel(BaseModel):
    """Translates with the network `G` + `--model_suffix` of a checkpoint."""

    options_class = OneDirectionOptions
    trainable = False

    def __init__(self, options: OneDirectionOptions, device: torch.device, **of_training: Any) -> None:
        """of_training: not used, because this model only translates."""
        super().__init__(options, device)
        self.generator = create_generator(options.translator, options.way).to(device)
        self.networks = {f"G{options.model_suffix}": self.generator}
        self.speed = options.speed.resolve(device, training=False)
        accelerate(self.generator, self.speed)
        self.inference()

    @torch.no_grad()
    def translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Translate the photos under "A". Returns real and fake."""
        real = batch["A"].to(self.device, non_blocking=True)
        return {"real": real, "fake": self.generator(real)}

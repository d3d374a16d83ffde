"""Registry of the models. To add one, write a subclass of BaseModel in a new file and add a line to MODELS."""

from __future__ import annotations

from typing import Any

import torch

from models.base_model import BaseModel, ModelOptions, Step, TrainableOptions
from models.cycle_gan_model import CycleGANModel
from models.one_direction_model import OneDirectionModel

__all__ = ["MODELS", "BaseModel", "ModelOptions", "Step", "TrainableOptions", "create_model"]

MODELS: dict[str, type[BaseModel]] = {
    "cycle_gan": CycleGANModel,
    "test": OneDirectionModel,
}


def create_model(
    name: str, options: Any, device: torch.device, *, training: bool, seed: int = 0, parts: int = 1
) -> BaseModel:
    """Create the model that `--model` names on `device`.

    options: an instance of the model's `options_class`. parts: number of micro-batches per training step.
    """
    return MODELS[name](options, device, training=training, seed=seed, parts=parts)

"""Models by name. To add one: a file with a BaseModel in it, and a line in MODELS."""

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
    """The model that `--model` names, on `device`. `options` is an instance of its `options_class`; parts: in how many
    parts a training batch is computed."""
    return MODELS[name](options, device, training=training, seed=seed, parts=parts)

"""A few fixed photos whose translations show how a model changes during training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
from torch import Tensor

from models.base_model import BaseModel
from util.images import tensor_to_uint8


class FixedFaces:
    """Photos of each domain, which are loaded when they are translated for the first time.

    load: returns them by domain, (N, C, H, W) in [-1, 1]. Translating them draws no random numbers and changes no
    network.
    """

    def __init__(self, model: BaseModel, load: Callable[[], Mapping[str, Tensor]]) -> None:
        self._model, self._load = model, load

    @cached_property
    def photos(self) -> Mapping[str, Tensor]:
        """The photos by domain."""
        return self._load()

    def translate(self) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
        """Each photo with its translation by the current networks, uint8 (H, W, C), by the photo's domain."""
        with self._model.for_inference():
            return {
                domain: [_pair(self._model, domain, photo) for photo in photos.split(1)]  # one by one, to save memory
                for domain, photos in self.photos.items()
            }


def _pair(model: BaseModel, domain: str, photo: Tensor) -> tuple[np.ndarray, np.ndarray]:
    made = model.translate({domain: photo})
    translated = next(image for name, image in made.items() if not name.startswith("real_"))
    return tensor_to_uint8(photo)[0], tensor_to_uint8(translated)[0]

"""A few fixed photos whose translations show how a model changes during training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from models.base_model import BaseModel
from util.images import tensor_to_uint8


class FixedFaces:
    """Fixed photos by domain, (N, C, H, W) in [-1, 1]. Translating them draws no random numbers and changes no
    network."""

    def __init__(self, photos: Mapping[str, Tensor]) -> None:
        self.photos = photos

    def translate(self, model: BaseModel) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
        """Each photo and its translation by the current networks, uint8 (H, W, C), by the photo's domain."""
        with model.for_inference():
            return {
                domain: [_pair(model, domain, photo) for photo in photos.split(1)]  # one by one, to save memory
                for domain, photos in self.photos.items()
            }


def _pair(model: BaseModel, domain: str, photo: Tensor) -> tuple[np.ndarray, np.ndarray]:
    made = model.translate({domain: photo})
    translated = next(image for name, image in made.items() if not name.startswith("real_"))
    return tensor_to_uint8(photo)[0], tensor_to_uint8(translated)[0]

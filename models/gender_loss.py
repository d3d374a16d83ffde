"""The gender that a frozen estimator sees, as a loss on translations and as a label for discriminators.

Old and young faces of the training photos differ in more than age, and a generator that need not keep the gender makes
women look like men. As with an age loss, it must be evaluated with another estimator, which evaluate.py enforces.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.age_estimator import load_estimator
from models.augment import augment


class GenderLoss:
    """Loss on the change of gender between photos and translations.

    Raises CheckpointError if `path` is no estimator.
    """

    def __init__(self, path: Path, weight: float, device: torch.device) -> None:
        self.estimator, self.weight = load_estimator(path, device), weight

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        """Compute the loss for photos and their translations, both (N, 3, H, W) in [-1, 1]. Returns a scalar: `weight`
        times the mean of the log-odds that a translation has lost. They are not bounded as a divergence of
        probabilities would be, because an estimator is surer of the people that it was trained with than of others.
        Both images are seen shifted, with the same rectangle cut out, so that each part of the face must keep its
        gender."""
        real, fake = augment(torch.cat([real, fake], dim=1)).chunk(2, dim=1)
        with torch.no_grad():
            before = self.estimator.logits(real).male.float()
        after = self.estimator.logits(fake).male.float()
        return self.weight * F.relu(before.sign() * (before - after)).mean()


class GenderLabel:
    """Labels images for discriminators by the gender of the person on a photo (conditional discriminators: Mirza and
    Osindero 2014, arXiv:1411.1784). Women made older then have to look like old women: without a label, nothing tells
    the discriminators that an old man is no answer to the photo of a young woman.

    Raises CheckpointError if `path` is no estimator.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.estimator = load_estimator(path, device)

    @torch.no_grad()
    def __call__(self, photos: Tensor) -> Tensor:
        """Return a channel (N, 1, H, W) for photos (N, 3, H, W) in [-1, 1]: 1 for men, -1 for women."""
        male = self.estimator.logits(photos).male
        return torch.where(male > 0, 1.0, -1.0).to(photos.dtype)[:, None, None, None].expand(-1, 1, *photos.shape[2:])

"""Gender loss: translations should look to a frozen estimator as clearly male or female as their photos do.

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

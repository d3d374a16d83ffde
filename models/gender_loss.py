"""Gender loss: translations should look to a frozen estimator as male or female as their photos do.

Old and young faces of the training photos differ in more than age, and a generator that need not keep the gender makes
women look like men. As with an age loss, it must be evaluated with another estimator, which evaluate.py enforces.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.age_estimator import load_estimator


class GenderLoss:
    """Loss on the change of gender between photos and translations. Raises CheckpointError if `path` is no estimator."""

    def __init__(self, path: Path, weight: float, device: torch.device) -> None:
        self.estimator, self.weight = load_estimator(path, device), weight

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        """Compute the loss for photos and their translations, both (N, 3, H, W) in [-1, 1]. Returns a scalar: `weight`
        times the mean divergence (Kullback-Leibler) of the translations' probability of being male from twice the
        photos' log-odds. They are doubled because the photos that are hardly clear are those whose gender gets lost."""
        with torch.no_grad():
            before = 2 * self.estimator.logits(real).male.float()
        after = self.estimator.logits(fake).male.float()
        male = torch.sigmoid(before)
        entropy = F.binary_cross_entropy_with_logits(before, male)
        return self.weight * (F.binary_cross_entropy_with_logits(after, male) - entropy)

"""A loss of age: translations are to look 30 years older, or younger, to a frozen age estimator.

As in face aging by conditional GANs (Wang et al. 2018, "Face Aging with Identity-Preserved Conditional Generative
Adversarial Networks", CVPR; Alaluf et al. 2021, arXiv:2102.02754). A generator learns to please the estimator that it
is trained against, be it by traces that nobody sees: it must be measured by another one, and evaluate.py insists on
that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.age_estimator import load_estimator
from util.arguments import OptionError, option

AIM = 30
"""Years that the translation is to add or take away."""


@dataclass(frozen=True)
class AgeLossOptions:
    """loss of age"""

    age_loss: Path | None = option(
        None,
        help="train against this age estimator, too: a file of scripts/train_age_estimator.py; evaluate.py will "
        "measure by another one only; none: no such loss",
    )
    lambda_age: float = option(1.0, help="weight of the age loss, for translations that do not age at all")

    def __post_init__(self) -> None:
        if not self.lambda_age > 0:
            raise OptionError(f"--lambda_age {self.lambda_age}: above 0; leave out --age_loss for none")


class AgeLoss:
    """The loss of one pair of images. Raises CheckpointError for a file that is no estimator."""

    def __init__(self, path: Path, weight: float, device: torch.device) -> None:
        self.estimator, self.weight = load_estimator(path, device), weight

    def __call__(self, real: Tensor, fake: Tensor, *, older: bool) -> Tensor:
        """Of photos and their translations, both (N, 3, H, W) in [-1, 1]: how far the years between them, as the
        estimator sees them, are from 30. A scalar: 0 where they are 30, `weight` where they are 0."""
        with torch.no_grad():
            before = self.estimator(real).ages
        years = self.estimator(fake).ages - before
        aim = torch.full_like(years, AIM if older else -AIM)
        return self.weight * F.l1_loss(years, aim) / AIM

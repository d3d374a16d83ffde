"""Age loss: translations should look 30 years older or younger to a frozen age estimator.

As in face aging with conditional GANs (Wang et al. 2018, "Face Aging with Identity-Preserved Conditional Generative
Adversarial Networks", CVPR; Alaluf et al. 2021, arXiv:2102.02754). A generator can learn to fool the estimator that it
is trained against with invisible artefacts. It must therefore be evaluated with another estimator, which evaluate.py
enforces.
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
"""Years that a translation should add or remove."""


@dataclass(frozen=True)
class AgeLossOptions:
    """age loss"""

    age_loss: Path | None = option(
        None,
        help="add a loss on the age that this estimator sees: a file that scripts/train_age_estimator.py wrote; "
        "evaluate.py must then use another estimator",
    )
    lambda_age: float = option(
        1.0, help="weight of the age loss: its value if a translation does not change the estimated age"
    )

    def __post_init__(self) -> None:
        if not self.lambda_age > 0:
            raise OptionError(f"--lambda_age {self.lambda_age}: must be above 0; omit --age_loss to train without it")


class AgeLoss:
    """Loss on the change of age between photos and translations. Raises CheckpointError if `path` is no estimator."""

    def __init__(self, path: Path, weight: float, device: torch.device) -> None:
        self.estimator, self.weight = load_estimator(path, device), weight

    def __call__(self, real: Tensor, fake: Tensor, *, older: bool) -> Tensor:
        """Compute the loss for photos and their translations, both (N, 3, H, W) in [-1, 1]. Returns a scalar: 0 if the
        estimated ages differ by 30 years in the right direction, `weight` if they do not differ."""
        with torch.no_grad():
            before = self.estimator(real).ages
        years = self.estimator(fake).ages - before
        aim = torch.full_like(years, AIM if older else -AIM)
        return self.weight * F.l1_loss(years, aim) / AIM

"""What an age estimator expects of the network under it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Trunk(ABC, nn.Module):
    """Base class of the trunks. A trunk ends in a linear layer `fc`, which `AgeEstimator` removes.

    width: size of the feature vector before `fc`. feature_channels: numbers of channels of the maps that `features`
    can return.
    """

    width: int
    feature_channels: tuple[int, int, int, int]
    fc: nn.Module

    @abstractmethod
    def features(self, images: Tensor, levels: int) -> list[Tensor]:
        """Map images (N, 3, H, W) in [-1, 1] of any size to the first `levels` of the feature maps (N, C, H/2, W/2),
        (N, C, H/4, W/4), (N, C, H/8, W/8) and (N, C, H/16, W/16), with C from `feature_channels`. Differentiable."""

"""ResNet-18 and ResNet-34 as trunks of the age estimator."""

from __future__ import annotations

import torchvision
from torch import Tensor
from torchvision.models.resnet import BasicBlock

from models.trunk import Trunk


class ResNet(torchvision.models.ResNet, Trunk):
    """torchvision's ResNet of basic blocks, without pretrained weights."""

    width, feature_channels = 512, (64, 64, 128, 256)

    def __init__(self, blocks: list[int]) -> None:
        super().__init__(BasicBlock, blocks)

    def features(self, images: Tensor, levels: int) -> list[Tensor]:
        """See Trunk."""
        layer = self.get_submodule
        maps: list[Tensor] = [layer("relu")(layer("bn1")(layer("conv1")(images)))]
        for name in ("layer1", "layer2", "layer3")[: levels - 1]:
            maps.append(layer(name)(layer("maxpool")(maps[0]) if name == "layer1" else maps[-1]))
        return maps

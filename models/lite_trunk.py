"""EfficientNet-Lite0 as the trunk of an age estimator, which may start from weights trained on ImageNet.

Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks" (arXiv:1905.11946); the Lite
variant has no squeeze-and-excitation, and ReLU6 activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from models.trunk import Trunk


class Stage(NamedTuple):
    """Blocks of one width. The first of them changes the width and divides height and width by the stride."""

    expansion: int
    width: int
    blocks: int
    kernel: int
    stride: int


FIRST_WIDTH = 32
STAGES = (
    Stage(1, 16, 1, 3, 1),
    Stage(6, 24, 2, 3, 2),
    Stage(6, 40, 2, 5, 2),
    Stage(6, 80, 3, 3, 2),
    Stage(6, 112, 3, 5, 1),
    Stage(6, 192, 2, 5, 2),
)
"""Those of EfficientNet-Lite0 without its last three blocks, which have 2 of its 3.4 million weights."""
LEFT_OUT = ("_blocks.13.", "_blocks.14.", "_blocks.15.", "_conv_head.", "_bn1.", "_fc.")
"""Beginnings of the names of its other layers, in the package efficientnet-lite-pytorch."""
FROZEN_BLOCKS = 3
"""Blocks that keep the weights of ImageNet, besides the stem: edges and textures, which faces have, too."""


class LiteNet(Trunk):
    """A network of 1.4 million weights, with feature maps at strides of 2 to 32 pixels."""

    width, feature_channels = STAGES[-1].width, (16, 24, 40, 112)

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, FIRST_WIDTH, kernel=3, stride=2)
        self.blocks = nn.ModuleList()
        before = FIRST_WIDTH
        for stage in STAGES:
            for number in range(stage.blocks):
                self.blocks.append(Block(before, stage, first=number == 0))
                before = stage.width
        self.fc = nn.Linear(self.width, 1)
        self.frozen: list[nn.Module] = []
        """parts that are not trained"""

    def features(self, images: Tensor, levels: int) -> list[Tensor]:
        """See Trunk."""
        last_blocks = (0, 2, 4, 10)[:levels]  # the last ones at strides of 2, 4, 8 and 16 pixels
        maps = self._maps(images, last_blocks[-1] + 1)
        return [maps[number] for number in last_blocks]

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [-1, 1] to feature vectors, with the last layer after global average pooling."""
        result: Tensor = self.fc(self._maps(images)[-1].mean(dim=(2, 3)))
        return result

    def _maps(self, images: Tensor, count: int | None = None) -> list[Tensor]:
        """Return the output of each block, or of the first `count` ones."""
        maps = [self.stem(images)]
        for block in self.blocks[:count]:
            maps.append(block(maps[-1]))
        return maps[1:]

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of an EfficientNet-Lite0 trained on ImageNet, as the package efficientnet-lite-pytorch saves
        them, and freeze the stem and the first blocks. Raises ValueError for the weights of another network.
        """
        theirs = [value for name, value in weights.items() if not name.startswith(LEFT_OUT)]
        own = {name: value for name, value in self.state_dict().items() if not name.startswith("fc.")}
        if [value.shape for value in theirs] != [value.shape for value in own.values()]:
            raise ValueError("these are not the weights of an EfficientNet-Lite0")
        self.load_state_dict(dict(zip(own, theirs, strict=True)), strict=False)
        self.frozen = [self.stem, *self.blocks[:FROZEN_BLOCKS]]
        for part in self.frozen:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> LiteNet:
        """Frozen parts stay in evaluation mode, so that their batch normalisations keep ImageNet's statistics."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self


class Block(nn.Module):
    """An inverted bottleneck (Sandler et al. 2018, arXiv:1801.04381): wider, depthwise convolution, narrow again."""

    def __init__(self, before: int, stage: Stage, first: bool) -> None:
        """first: whether it is the first block of its stage."""
        super().__init__()
        inner = before * stage.expansion
        layers = [_convolution(before, inner, kernel=1)] if stage.expansion > 1 else []
        layers.append(_convolution(inner, inner, stage.kernel, stage.stride if first else 1, groups=inner))
        layers.append(_convolution(inner, stage.width, kernel=1, activation=None))
        self.layers, self.is_residual = nn.Sequential(*layers), not first

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, before, H, W) to (N, width, H / stride, W / stride)."""
        result: Tensor = self.layers(maps)
        return maps + result if self.is_residual else result


Activation = type[nn.Module] | None


def _convolution(
    before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, activation: Activation = nn.ReLU6
) -> nn.Sequential:
    """A convolution with batch normalisation as in EfficientNet, and an activation."""
    layers = [
        nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after, eps=1e-3),
    ]
    return nn.Sequential(*layers, *([] if activation is None else [activation(inplace=True)]))

"""Trunks of the age estimator: networks that map images to a feature vector, from which age and gender are computed.

All are convolutional with global average pooling, so that they accept images of any size. Their feature maps at
strides of 2 to 16 pixels are used by the projected discriminator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from models.lite_trunk import LiteNet
from models.trunk import Trunk

SMALL_WIDTHS = (32, 64, 128, 256)
BLOCKS_PER_STAGE = 2
PLAIN_FIRST = 32
PLAIN_LAYERS: list[str | int] = ["M", 64, 64, "M", 128, 128, "M", 256, 256, "M", 384, 384]
"""Channels of the convolutions after the first; M stands for 2 x 2 max pooling."""


class SmallResNet(Trunk):
    """A ResNet (He et al. 2016, arXiv:1512.03385) with 2.8 million weights for images of about 64 pixels.

    It has half the widths of ResNet-18, and a stem that downsamples by 2 instead of 4. Its four stages have strides of
    2, 4, 8 and 16 pixels.
    """

    width, feature_channels = SMALL_WIDTHS[-1], SMALL_WIDTHS

    def __init__(self) -> None:
        super().__init__()
        first = SMALL_WIDTHS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        befores = (first, *SMALL_WIDTHS[:-1])
        self.stages = nn.ModuleList(
            _stage(before, width, stride=1 if number == 0 else 2)
            for number, (before, width) in enumerate(zip(befores, SMALL_WIDTHS, strict=True))
        )
        self.fc = nn.Linear(self.width, 1)

    def features(self, images: Tensor, levels: int) -> list[Tensor]:
        """See Trunk."""
        maps = [self.stem(images)]
        for stage in self.stages[:levels]:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [-1, 1] to vectors: `fc` applied to the globally averaged features."""
        last = self.features(images, len(self.stages))[-1]
        result: Tensor = self.fc(last.mean(dim=(2, 3)))
        return result


class BasicBlock(nn.Module):
    """Two convolutions, whose result is added to the input or, if width or stride change, to a shortcut's result."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Sequential()
        if stride != 1 or before != width:
            self.downsample.extend([nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)])

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, before, H, W) to (N, width, H / stride, W / stride)."""
        inner = F.relu(self.bn1(self.conv1(maps)))
        return F.relu(self.bn2(self.conv2(inner)) + self.downsample(maps))


def _plain_layers() -> Iterator[nn.Module]:
    before = PLAIN_FIRST
    for entry in PLAIN_LAYERS:
        if isinstance(entry, int):
            yield from (nn.Conv2d(before, entry, 3, padding=1, bias=False), nn.BatchNorm2d(entry), nn.ReLU())
            before = entry
        else:
            yield nn.MaxPool2d(2)


def _stage(before: int, width: int, stride: int) -> nn.Sequential:
    """Create a stage of residual blocks, the first of which changes the width and applies the stride."""
    later = (BasicBlock(width, width, 1) for _ in range(BLOCKS_PER_STAGE - 1))
    return nn.Sequential(BasicBlock(before, width, stride), *later)


class PlainNet(Trunk):
    """A VGG (Simonyan and Zisserman 2015, arXiv:1409.1556) with batch normalisation and 3.4 million weights.

    Its first convolution has a stride of 2. It has no shortcuts, so that its errors differ from those of a ResNet."""

    width, feature_channels = 384, (32, 64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        first = nn.Conv2d(3, PLAIN_FIRST, 5, stride=2, padding=2, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(PLAIN_FIRST), nn.ReLU())
        self.layers = nn.Sequential(*_plain_layers())
        self.fc = nn.Linear(self.width, 1)

    def features(self, images: Tensor, levels: int) -> list[Tensor]:
        """See Trunk."""
        maps: list[Tensor] = []
        last = self.stem(images)
        for layer in self.layers:
            if isinstance(layer, nn.MaxPool2d):
                maps.append(last)
                if len(maps) == levels:
                    break
            last = layer(last)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [-1, 1] to vectors: `fc` applied to the globally averaged features."""
        result: Tensor = self.fc(self.layers(self.stem(images)).mean(dim=(2, 3)))
        return result


def _resnet(blocks: list[int]) -> Trunk:
    from models.resnet_trunk import ResNet  # torchvision takes as long to import as torch does

    return ResNet(blocks)


TRUNKS: dict[str, Callable[[], Trunk]] = {
    "small": SmallResNet,
    "plain": PlainNet,
    "lite": LiteNet,
    "resnet18": lambda: _resnet([2, 2, 2, 2]),
    "resnet34": lambda: _resnet([3, 4, 6, 3]),
}

"""Grey hair: a fixed rule that turns the hair of older faces grey, where a segmenter finds hair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.hair_segmenter import DEFAULT_PATH, SIZE, load_segmenter
from models.losses import brightness_of

DARKEST, SLOPE = 0.30, 0.62
"""Brightness of grey hair in [0, 1]: that of hair which was black, and how much it rises with the former brightness."""
LIT = 0.5
"""Brightness of a well-lit face. On darker photos, black hair turns a darker grey."""
BLACK = 0.03
"""Where hair is as dark as this, it cannot be told from a dark background, and stays as it is."""
WINDOW = 5
"""The brightness of hair is averaged over this number of the segmenter's pixels."""
MOST_CONTRAST = 3.0
"""Limit to the growth of contrasts in dark hair, which would also show a photo's noise."""


class GreyHair(nn.Module):
    """Maps images (N, 3, H, W) in [-1, 1] to the same images with grey hair.

    The mean brightness of the hair around each pixel is mapped to a grey: the lighter the hair was, the lighter the
    grey. Contrasts grow in proportion, so that strands stay visible. share: how far the hair turns grey, from 0 to 1.

    Nothing here is trained or saved: the segmenter is the one that is part of the project. Raises CheckpointError if
    its file is missing.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.segmenter = load_segmenter(DEFAULT_PATH, torch.device("cpu"))
        self.segmenter.fold()
        make_constant(self.segmenter)

    def forward(self, images: Tensor) -> Tensor:
        grey, hair = self.parts(images)
        return images + self.share * hair * (grey - images)

    def parts(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Return what pixels would look like as grey hair, (N, 1, H, W) in [-1, 1], and the probability that they show
        hair, (N, 1, H, W)."""
        small = resized(photos, [SIZE, SIZE])
        hair = torch.sigmoid(self.segmenter(small)) * (1 - _unlike_hair(_mean_around((small + 1) / 2)))
        brightness, small = brightness_of(photos), brightness_of(small)
        face = small[..., SIZE // 3 : 2 * SIZE // 3, SIZE // 3 : 2 * SIZE // 3].mean(dim=(2, 3), keepdim=True)
        around = _mean_around(small * hair) / _mean_around(hair).clamp(min=1e-3)
        hair = hair * ((around - BLACK) / BLACK).clamp(0, 1)
        around, hair = resized(around, photos.shape[2:]), resized(hair, photos.shape[2:])
        grey = DARKEST * (face / LIT).clamp(0.4, 1.0) + SLOPE * around
        gain = (grey / around.clamp(min=1e-3)).clamp(max=MOST_CONTRAST)
        return (grey + gain * (brightness - around)).clamp(0, 1) * 2 - 1, hair


def make_constant(network: nn.Module) -> None:
    """Turn all parameters and buffers of a network into constants, which move along with it from device to device and
    are part of exported files, but neither of its parameters nor of its state dict."""
    for module in network.modules():
        values = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
        for name, value in values.items():
            delattr(module, name)
            module.register_buffer(name, value.detach(), persistent=False)


def resized(images: Tensor, size: list[int] | torch.Size) -> Tensor:
    """Resize images (N, C, H, W) to a height and width, bilinearly."""
    return F.interpolate(images, tuple(size), mode="bilinear", align_corners=False)


def _unlike_hair(colours: Tensor) -> Tensor:
    """Return how sure it is that colours (N, 3, H, W) in [0, 1] are those of a helmet or cap, (N, 1, H, W) in [0, 1]:
    much stronger than those of hair, or with more green or blue than red."""
    red, green, blue = colours.split(1, dim=1)
    strong = (colours.amax(dim=1, keepdim=True) - colours.amin(dim=1, keepdim=True) - 0.6) / 0.15
    cold = (torch.maximum(green, blue) - red - 0.08) / 0.1
    return torch.maximum(strong, cold).clamp(0.0, 1.0)


def _mean_around(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)

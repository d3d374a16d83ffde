"""Hair segmenter: a small network that marks the hair of a head, and what grey hair would look like there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from util.files import atomic_path
from util.run.checkpoint import CheckpointError
from util.state_dicts import adapt_state_dict
from util.weights import load_weights, save_weights

KIND = "hair segmenter"
DEFAULT_PATH = Path("checkpoints/hair_segmenter/hair.safetensors")
"""The segmenter that is part of the project."""
SIZE = 96
"""Width and height of the images that the network sees, in pixels."""
WIDTHS = (8, 24, 48, 64)
DARKEST_GREY, GREY_SLOPE = 0.28, 0.62
"""Brightness of grey hair in [0, 1]: that of hair which was black, and how much it rises with the former brightness."""
GREYED = 0.85
"""Share of the colour that hair loses."""


class HairSegmenter(nn.Module):
    """A U-Net (Ronneberger, Fischer and Brox 2015, arXiv:1505.04597) of 0.3 million weights.

    notes: information on its training.
    """

    def __init__(self, notes: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.notes = dict(notes or {})
        before = (3, *WIDTHS[:-1])
        self.down = nn.ModuleList(_layers(a, b, stride=1 + (a > 3)) for a, b in zip(before, WIDTHS, strict=True))
        self.bottom = nn.Sequential(_layers(WIDTHS[-1], WIDTHS[-1], stride=2), _layers(WIDTHS[-1], WIDTHS[-1]))
        above = (WIDTHS[-1], *WIDTHS[:0:-1])
        self.up = nn.ModuleList(_layers(a + b, b) for a, b in zip(above, WIDTHS[::-1], strict=True))
        self.last = nn.Conv2d(WIDTHS[0], 1, 1)

    def logits(self, images: Tensor) -> Tensor:
        """Map images (N, 3, SIZE, SIZE) in [-1, 1] to logits (N, 1, SIZE, SIZE)."""
        maps = [images]
        for layers in self.down:
            maps.append(layers(maps[-1]))
        result = self.bottom(maps[-1])
        for layers, skipped in zip(self.up, maps[:0:-1], strict=True):
            result = layers(torch.cat([F.interpolate(result, skipped.shape[2:]), skipped], dim=1))
        return torch.as_tensor(self.last(result))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [-1, 1] to the probabilities (N, 1, H, W) that their pixels show hair."""
        small = F.interpolate(images, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        hair = torch.sigmoid(self.logits(small).float())
        return F.interpolate(hair, images.shape[2:], mode="bilinear", align_corners=False)


def greyed(photos: Tensor, hair: Tensor) -> Tensor:
    """Compute what the photos would look like with grey hair. photos (N, 3, H, W) in [-1, 1]; hair (N, 1, H, W), the
    probability of hair. Returns (N, 3, H, W).

    The mean brightness around each pixel, over a twentieth of the height and width, is mapped to a grey that is lighter
    the lighter the hair was. Contrasts around it grow in proportion, by at most three times, so that strands stay
    visible.
    """
    colours = (photos + 1) / 2
    brightness = colours.mean(dim=1, keepdim=True)
    around = _mean_around(brightness * hair) / _mean_around(hair).clamp(min=1e-3)
    grey = DARKEST_GREY + GREY_SLOPE * around
    gain = (grey / around.clamp(min=1e-3)).clamp(max=3)
    kept = (1 - GREYED) * gain.clamp(max=1) * (colours - brightness)
    return (grey + gain * (brightness - around) + kept).clamp(0, 1) * 2 - 1


def _mean_around(values: Tensor) -> Tensor:
    """Return the mean over windows of a twentieth of the height and width of (N, 1, H, W)."""
    window = [length // 20 // 2 * 2 + 1 for length in values.shape[2:]]
    padding = [length // 2 for length in window]
    return F.avg_pool2d(values, window, stride=1, padding=padding, count_include_pad=False)


def save_segmenter(segmenter: HairSegmenter, path: Path) -> None:
    """Write the segmenter with its notes atomically, with 16-bit weights. Raises OSError."""
    weights = {name: value.cpu() for name, value in segmenter.state_dict().items()}
    with atomic_path(path) as temporary:
        save_weights(weights, {"kind": KIND, "notes": segmenter.notes}, temporary)


def load_segmenter(path: Path, device: torch.device) -> HairSegmenter:
    """Load a segmenter in evaluation mode with frozen weights. Raises CheckpointError."""
    weights, content = load_weights(path)
    if content.get("kind") != KIND:
        raise CheckpointError(f"{path} is not a hair segmenter: train one with scripts/train_hair_segmenter.py")
    with torch.random.fork_rng(devices=()):  # the initialisation must not change the random state of a run
        segmenter = HairSegmenter(content.get("notes"))
    segmenter.load_state_dict(adapt_state_dict(weights, segmenter, path))
    return segmenter.to(device).eval().requires_grad_(False)


def _layers(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )

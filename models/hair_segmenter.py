"""Hair segmenter: a small network that tells which pixels of a face with a margin show hair."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from util.files import atomic_path
from util.run.checkpoint import CheckpointError
from util.state_dicts import adapt_state_dict
from util.weights import load_weights, save_weights

KIND = "hair segmenter"
DEFAULT_PATH = Path(__file__).parents[1] / "checkpoints" / "hair_segmenter" / "hair.safetensors"
"""The segmenter that is part of the project."""
SIZE = 96
"""Width and height of the images that the network sees, in pixels."""
WIDTHS = (8, 24, 48, 64)


class HairSegmenter(nn.Module):
    """A U-Net (Ronneberger, Fischer and Brox 2015, arXiv:1505.04597) of 0.46 million weights.

    notes: information on its training.
    """

    def __init__(self, notes: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.notes = dict(notes or {})
        before = (3, *WIDTHS[:-1])
        self.down = nn.ModuleList(_layers(a, b, stride=1 if a == 3 else 2) for a, b in zip(before, WIDTHS, strict=True))
        self.bottom = nn.Sequential(_layers(WIDTHS[-1], WIDTHS[-1], stride=2), _layers(WIDTHS[-1], WIDTHS[-1]))
        above = (WIDTHS[-1], *WIDTHS[:0:-1])
        self.up = nn.ModuleList(_layers(a + b, b) for a, b in zip(above, WIDTHS[::-1], strict=True))
        self.last = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, SIZE, SIZE) in [-1, 1] to logits (N, 1, SIZE, SIZE), which are above 0 for hair."""
        maps = [images]
        for layers in self.down:
            maps.append(layers(maps[-1]))
        result = self.bottom(maps[-1])
        for layers, skipped in zip(self.up, maps[:0:-1], strict=True):
            result = layers(torch.cat([F.interpolate(result, skipped.shape[2:]), skipped], dim=1))
        logits: Tensor = self.last(result)
        return logits

    def fold(self) -> None:
        """Merge the normalisations, which must be in evaluation mode, into the convolutions before them."""
        for layers in [module for module in self.modules() if isinstance(module, nn.Sequential)]:
            for number, (first, second) in enumerate(pairwise(list(layers))):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    layers[number], layers[number + 1] = fuse_conv_bn_eval(first, second), nn.Identity()


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
    with torch.device("meta"):  # no initialisation, which would take time and change the random state of a run
        segmenter = HairSegmenter(content.get("notes"))
    segmenter.to_empty(device="cpu")
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

"""The two framings that an estimator learns: the tight chip and the whole frame.

Data sets prepared with --align contain frames, which include the hair (faces/align.py). UTKFace's chips are a window of
such a frame. All faces are stored as frames; a chip is placed into a frame whose borders are a soft continuation. In a
batch, each face is shown as a frame, as the chip in it, or in a framing between the two. Photos that are neither (crop)
are used as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.manifest import RECORD, is_aligned
from faces.align import CHIP_WINDOW, Alignment, aligned

CHIP, FRAME, CROP = 0, 1, 2
CHIP_SIDE = CHIP_WINDOW[2] - CHIP_WINDOW[0]
CHIP_SHARE, FRAME_SHARE = 0.42, 0.42
"""Shares of the faces in a batch; the other faces are shown in framings between the two."""
WHOLE_VIEW = (0.0, 0.0, 1.0)
CHIP_VIEW = (CHIP_WINDOW[0] + CHIP_WINDOW[2] - 1, CHIP_WINDOW[1] + CHIP_WINDOW[3] - 1, CHIP_SIDE)
"""Centre x and y, from -1 to 1 across the image, and size as a share of the image."""


def framing_of(folder: Path) -> int:
    """The framing of the photos in a prepared data set: CHIP, FRAME or CROP."""
    if is_aligned(folder):
        return FRAME
    try:
        source = json.loads((folder / RECORD).read_text(encoding="utf-8"))["settings"]["source"]
    except (OSError, ValueError, TypeError, KeyError):
        return CROP
    return CHIP if source == "utkface" else CROP


def as_frame(chip: Image.Image, size: int) -> Image.Image:
    """Place a chip into a frame of size x size pixels whose borders are a soft continuation of the chip."""
    scale = size * CHIP_SIDE / chip.width
    left, top = CHIP_WINDOW[0] * size, CHIP_WINDOW[1] * size
    return aligned(chip, Alignment(((scale, 0.0, left), (0.0, scale, top)), size))


def draw_views(framings: np.ndarray, generator: torch.Generator) -> Tensor:
    """Random views of a batch, (N, 3), in the format of CHIP_VIEW."""
    drawn, between = torch.rand((2, len(framings)), generator=generator)
    share = torch.where(drawn < CHIP_SHARE, 1.0, torch.where(drawn < CHIP_SHARE + FRAME_SHARE, 0.0, between))
    share = torch.where(torch.from_numpy(framings == CROP), 0.0, share)[:, None]
    return torch.tensor(WHOLE_VIEW) * (1 - share) + torch.tensor(CHIP_VIEW) * share

"""Comparison pictures: before and after, and rows of faces from younger to older."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from aging.aged_photo import AgedFace, AgedPhoto
from faces.align import corners_in_photo

STRIP_STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
STRIP_HEIGHT = 320
"""Height of a face in the strip in pixels, unless the photo has fewer."""
PICTURE_HEIGHT = 900
"""Maximum height of a before-and-after picture in pixels."""
GAP = 6
CAPTION = 26
"""Space between images, and height of the text above them, in pixels."""


def before_and_after(photo: AgedPhoto, strength: float, chosen: Collection[int] | None = None) -> np.ndarray:
    """The region around the faces before and after, side by side, as uint8 RGB (H, W, 3)."""
    boxes = np.array(
        [
            _surroundings(face, margin=0.3)
            for number, face in enumerate(photo.faces)
            if chosen is None or number in chosen
        ]
    )
    (left, top), (right, bottom) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    small = photo.part((left, top, right, bottom), PICTURE_HEIGHT)
    return _row([small.pixels, small.at(strength, chosen)], ["before", "after"])


def strip(
    photo: AgedPhoto, strengths: Sequence[float] = STRIP_STRENGTHS, chosen: Collection[int] | None = None
) -> np.ndarray:
    """A row for each face from younger to older, as uint8 RGB (H, W, 3)."""
    rows = []
    for number, face in enumerate(photo.faces):
        if chosen is None or number in chosen:
            part = photo.part(_surroundings(face), STRIP_HEIGHT)
            rows.append(_row([part.at(strength, [number]) for strength in strengths], list(map(caption, strengths))))
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows])


def caption(strength: float) -> str:
    """The caption for a strength."""
    if strength == 0:
        return "photo"
    return f"{'older' if strength > 0 else 'younger'} {abs(strength):g}"


def _surroundings(face: AgedFace, margin: float = 0.0) -> tuple[float, float, float, float]:
    """left, top, right, bottom of the upright box around the aligned face, enlarged by a margin in units of its
    sides."""
    corners = corners_in_photo(face.alignment)
    low, high = corners.min(axis=0), corners.max(axis=0)
    (left, top), (right, bottom) = low - margin * (high - low), high + margin * (high - low)
    return left, top, right, bottom


def _row(images: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Images of equal size side by side, on white, with captions."""
    height, width = images[0].shape[:2]
    sheet = Image.new("RGB", (len(images) * (width + GAP) - GAP, height + CAPTION), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for number, (image, text) in enumerate(zip(images, captions, strict=True)):
        left = number * (width + GAP)
        draw.text((left + width / 2, CAPTION / 2), text, fill="black", font=font, anchor="mm")
        sheet.paste(Image.fromarray(image), (left, CAPTION))
    return np.asarray(sheet)

"""A photo with its faces and their predicted changes, which gives the photo younger or older at any strength.

Faces are translated once; each further strength only scales the change. The change is the generator's output minus its
input, at the size that it was trained at; faces/paste.py enlarges it and adds it to the photo's own pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from aging.card import GREY_HAIR, OPPOSITE, Card
from aging.generators import Generator
from faces.align import Alignment, Matrix, aligned, alignment_of
from faces.detect import Face, find_faces
from faces.paste import paste_change

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in a grey level, the same as Pillow's."""
HEAD = 1.3
"""Hair is sought, and turned grey, in an image that shows this times the width and height of the aligned face."""


@dataclass(frozen=True)
class AgedFace:
    """A face of a photo with its predicted changes."""

    face: Face
    alignment: Alignment
    changes: Mapping[str, np.ndarray]
    """by direction: the change of the aligned face, float32 (size, size, 3), in levels of 255; grey_hair: that of the
    head, see HEAD"""

    def change(self, strength: float) -> np.ndarray:
        """The change at a strength: positive is older, negative is younger, and 1 is the change as predicted.

        If only one direction has a generator, the negative of its change is used for the other direction.
        """
        direction = "older" if strength >= 0 else "younger"
        if direction in self.changes:
            return self.changes[direction] * np.float32(abs(strength))
        return self.changes[OPPOSITE[direction]] * np.float32(-abs(strength))

    def paste(self, pixels: np.ndarray, strength: float) -> np.ndarray:
        """The photo, uint8 RGB (H, W, 3), with this face at a strength. Hair is never greyer than at strength 1."""
        pixels = paste_change(pixels, self.change(strength), self.alignment)
        if strength > 0 and GREY_HAIR in self.changes:
            change = self.changes[GREY_HAIR] * np.float32(min(strength, 1))
            pixels = paste_change(pixels, change, self.alignment.widened(HEAD))
        return pixels


@dataclass(frozen=True)
class AgedPhoto:
    """A photo whose faces can be made older or younger by any strength."""

    pixels: np.ndarray
    """uint8 RGB (H, W, 3), upright"""
    faces: list[AgedFace] = field(default_factory=list)
    """from left to right"""

    def at(self, strength: float, chosen: Collection[int] | None = None) -> np.ndarray:
        """The photo at a strength, as uint8 RGB (H, W, 3).

        strength: 0 gives the photo itself, 1 the predicted older photo, -1 the younger one; 1.5 exaggerates.
        chosen: indices of the faces to change, starting at 0; None: all.
        """
        pixels = self.pixels
        for number, face in enumerate(self.faces):
            if strength and (chosen is None or number in chosen):
                pixels = face.paste(pixels, strength)
        return pixels

    def part(self, box: tuple[float, float, float, float], height: int) -> AgedPhoto:
        """A part of the photo with its faces, resized to at most `height` pixels, for pictures smaller than the photo.

        box: left, top, right, bottom in pixels; it is clipped to the photo.
        """
        left, top = max(0, round(box[0])), max(0, round(box[1]))
        right, bottom = min(self.pixels.shape[1], round(box[2])), min(self.pixels.shape[0], round(box[3]))
        scale = min(1.0, height / (bottom - top))
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        region = Image.fromarray(self.pixels[top:bottom, left:right])
        small = region if size == region.size else region.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        scales = (size[0] / (right - left), size[1] / (bottom - top))
        faces = [replace(face, alignment=_in_part(face.alignment, (left, top), scales)) for face in self.faces]
        return AgedPhoto(np.asarray(small), faces)


def _in_part(alignment: Alignment, corner: tuple[int, int], scales: tuple[float, float]) -> Alignment:
    """The alignment within a part of the photo that starts at `corner` and was scaled."""
    (a, b, c), (d, e, f) = alignment.matrix
    x, y = corner
    rows: Matrix = (
        (a / scales[0], b / scales[1], a * x + b * y + c),
        (d / scales[0], e / scales[1], d * x + e * y + f),
    )
    return Alignment(rows, alignment.size)


def age_photo(photo: Image.Image, generators: Mapping[str, Generator]) -> AgedPhoto:
    """Detect the faces of an upright RGB photo and predict their changes, from left to right.

    generators: by direction. Raises UserError if the face detector is not installed.
    """
    return age_faces(photo, sorted(find_faces(photo), key=lambda face: face.box[0] + face.box[2]), generators)


def age_faces(photo: Image.Image, faces: Sequence[Face], generators: Mapping[str, Generator]) -> AgedPhoto:
    """Predict the changes of faces that were detected before."""
    return AgedPhoto(np.asarray(photo), [_aged(photo, face, generators) for face in faces])


def _aged(photo: Image.Image, face: Face, generators: Mapping[str, Generator]) -> AgedFace:
    size = max(generator.card.size for generator in generators.values())
    alignment = alignment_of(face.landmarks, size)
    changes = {}
    for direction, generator in generators.items():
        framing = alignment.widened(HEAD) if direction == GREY_HAIR else alignment
        images = to_network(np.asarray(aligned(photo, framing.resized(generator.card.size))), generator.card)
        changes[direction] = change_of(images, generator.translate(images))
    return AgedFace(face, alignment, changes)


def to_network(face: np.ndarray, card: Card) -> np.ndarray:
    """Convert a face, uint8 RGB (size, size, 3), to a generator's input: float32 (1, channels, size, size) in [-1,
    1]."""
    pixels = face.astype(np.float32)
    pixels = (pixels @ GREY)[..., None] if card.input_channels == 1 else pixels
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]) / np.float32(127.5) - np.float32(1)


def change_of(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The change of one image (1, channels, size, size), as float32 (size, size, 3) in levels of 255.

    If the numbers of channels differ, because the network converts between colour and grey, it is the change in grey.
    """
    if before.shape[1] != after.shape[1]:
        before, after = (
            image if image.shape[1] == 1 else np.tensordot(GREY, image[0], 1)[None, None] for image in (before, after)
        )
    change = (after[0] - before[0]).transpose(1, 2, 0) * np.float32(127.5)
    return np.repeat(change, 3, axis=2) if change.shape[2] == 1 else change

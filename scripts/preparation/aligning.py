"""Detects and aligns the face of a photo. Only this part of the preparation needs the face detector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from faces.align import CHIP_WINDOW, Alignment, aligned, alignment_of
from faces.detect import SEARCH_SIZES, Face, find_faces
from faces.landmarks import transformed
from scripts.preparation.reasons import Reason

RIVAL = 0.5
"""A face counts as a second face if it has at least this share of the largest face's width; smaller ones are
ignored."""
CONFIRMED = 0.4
"""Maximum mean distance of a collection's landmarks from the detector's, in units of the distance between the eyes. The
detector's unrefined landmarks of faces that are rotated by 45 degrees have an error of 0.2 (docs/faces.md)."""
LEAST_SEEN = 0.75
"""Minimum share of a face, from eyebrows to chin, that must be inside the photo."""
GRID = np.stack(np.meshgrid(np.linspace(*CHIP_WINDOW[::2], 12), np.linspace(*CHIP_WINDOW[1::2], 12)), -1).reshape(-1, 2)
"""A grid of points on a face, in units of the aligned image's side."""


class AlignedPhoto(NamedTuple):
    """An aligned face, and the landmarks (5, 2) by which it was aligned, in pixels of the upright photo."""

    image: Image.Image
    landmarks: np.ndarray


def align_photo(
    photo: Image.Image, size: int, *, least: float, allow_second: bool, known: np.ndarray | None = None
) -> AlignedPhoto | Reason:
    """Align the largest face of an upright photo, or return the reason why it is not usable.

    least: minimum side of the aligned square in pixels of the photo. known: landmarks (5, 2) from the collection. If
    the detector finds a face there, they are used, and tell which of several faces is meant; otherwise they belong to
    another version of the photo, and the detector's landmarks are used.
    """
    landmarks = known if known is not None and _confirmed(photo, known) else _largest(photo, allow_second)
    if isinstance(landmarks, Reason):
        return landmarks
    alignment = alignment_of(landmarks, size)
    if size / alignment.scale < least:
        return Reason.SMALL_FACE
    if _seen(alignment, photo.size) < LEAST_SEEN:
        return Reason.CUT_FACE
    return AlignedPhoto(aligned(photo, alignment), landmarks)


def _confirmed(photo: Image.Image, known: np.ndarray) -> bool:
    """Whether the detector finds a face at landmarks (5, 2)."""
    unit = np.hypot(*(known[1] - known[0]))
    faces = find_faces(photo, sizes=SEARCH_SIZES[:2], refine=False)
    return any(np.hypot(*(face.landmarks - known).T).mean() < CONFIRMED * unit for face in faces)


def _largest(photo: Image.Image, allow_second: bool) -> np.ndarray | Reason:
    """The landmarks (5, 2) of the largest face, or the reason why there is none."""
    faces = find_faces(photo, sizes=SEARCH_SIZES[:1]) or find_faces(photo)
    if not faces:
        return Reason.NO_FACE
    if not allow_second and any(_width(face) >= RIVAL * _width(faces[0]) for face in faces[1:]):
        return Reason.SECOND_FACE
    return faces[0].landmarks


def _width(face: Face) -> float:
    return face.box[2] - face.box[0]


def _seen(alignment: Alignment, photo_size: tuple[int, int]) -> float:
    """The share of the face that is inside the photo."""
    points = transformed(np.array(alignment.inverse), GRID * alignment.size)
    return float(((points >= 0) & (points < photo_size)).all(axis=1).mean())

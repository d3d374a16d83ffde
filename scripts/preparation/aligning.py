"""The face of a photo, aligned; the one part of the preparation that needs the face detector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from faces.align import CHIP_WINDOW, Alignment, aligned, alignment_of
from faces.detect import SEARCH_SIZES, Face, find_faces
from faces.landmarks import transformed
from scripts.preparation.reasons import Reason

RIVAL = 0.5
"""A face at least so wide, in units of the largest one's width, is a second one. Smaller ones stand behind."""
CONFIRMED = 0.4
"""How far, on average, a collection's landmarks may be from the detector's, in units of the distance between the eyes.
The detector's first look at faces that are turned by 45 degrees is off by 0.2 (docs/faces.md)."""
LEAST_SEEN = 0.75
"""The share of a face, from eyebrows to chin, that must lie in the photo."""
GRID = np.stack(np.meshgrid(np.linspace(*CHIP_WINDOW[::2], 12), np.linspace(*CHIP_WINDOW[1::2], 12)), -1).reshape(-1, 2)
"""Points of a face, in units of the aligned image's side."""


class AlignedPhoto(NamedTuple):
    """An aligned face and the landmarks (5, 2) that it was aligned by, in pixels of the upright photo."""

    image: Image.Image
    landmarks: np.ndarray


def align_photo(
    photo: Image.Image, size: int, *, least: float, allow_second: bool, known: np.ndarray | None = None
) -> AlignedPhoto | Reason:
    """The largest face of an upright photo, or the reason why there is none to train on.

    least: pixels of the photo that the side of the aligned square must have. known: landmarks (5, 2) of the
    collection's own. They count, and say which of several faces is meant, where the detector sees a face there; where
    it does not, they are another photo's, and it is asked itself.
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
    """Whether a face is found where landmarks (5, 2) say that one is."""
    unit = np.hypot(*(known[1] - known[0]))
    faces = find_faces(photo, sizes=SEARCH_SIZES[:2], refine=False)
    return any(np.hypot(*(face.landmarks - known).T).mean() < CONFIRMED * unit for face in faces)


def _largest(photo: Image.Image, allow_second: bool) -> np.ndarray | Reason:
    """The landmarks (5, 2) of the largest face."""
    faces = find_faces(photo, sizes=SEARCH_SIZES[:1]) or find_faces(photo)
    if not faces:
        return Reason.NO_FACE
    if not allow_second and any(_width(face) >= RIVAL * _width(faces[0]) for face in faces[1:]):
        return Reason.SECOND_FACE
    return faces[0].landmarks


def _width(face: Face) -> float:
    return face.box[2] - face.box[0]


def _seen(alignment: Alignment, photo_size: tuple[int, int]) -> float:
    """The share of the face that lies in the photo."""
    points = transformed(np.array(alignment.inverse), GRID * alignment.size)
    return float(((points >= 0) & (points < photo_size)).all(axis=1).mean())

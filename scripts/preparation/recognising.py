"""Computes the face embedding of a photo, in worker processes. Imports torch and the face detector."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from faces.align import CHIP_WINDOW
from faces.recognise import SIZE, Recogniser, load_recogniser
from scripts.preparation.aligning import AlignedPhoto, align_photo
from scripts.preparation.photo import crop_to, middle_square
from util.images import image_to_tensor, part_of
from util.photos import UnreadableImageError, opened_photo, upright

LENGTH = 128
NOBODY = np.full(LENGTH, np.nan, dtype=np.float32)
"""The vector of a photo without a face."""
ALIGNED_SIZE = round(SIZE / (CHIP_WINDOW[2] - CHIP_WINDOW[0]))
"""Size of an aligned image in pixels whose part CHIP_WINDOW has the size of the recogniser's input."""


class FaceTask(NamedTuple):
    """One photo: the number of its row, its file or bytes (None if it is missing), and whether it is a chip, which is
    too tight for a detector."""

    number: int
    photo: Path | bytes | None
    is_chip: bool


class FaceVector(NamedTuple):
    """The embedding (128,) of a row's photo, float32; NOBODY if no face was found."""

    number: int
    vector: np.ndarray


def recognise_batch(tasks: list[FaceTask]) -> list[FaceVector]:
    """The embeddings of photos, computed one by one, so that they do not depend on the other photos of the batch."""
    return [FaceVector(task.number, _vector(task)) for task in tasks]


def _vector(task: FaceTask) -> np.ndarray:
    if task.photo is None:
        return NOBODY
    try:
        with opened_photo(io.BytesIO(task.photo) if isinstance(task.photo, bytes) else task.photo, "photo") as image:
            decoded = upright(image)
    except UnreadableImageError:
        return NOBODY
    if task.is_chip:
        face = crop_to(decoded, middle_square(*decoded.size), SIZE, Image.Resampling.BICUBIC)
        seen = image_to_tensor(face)[None]
    else:
        found = align_photo(decoded, ALIGNED_SIZE, least=0, allow_second=True)
        if not isinstance(found, AlignedPhoto):
            return NOBODY
        seen = part_of(image_to_tensor(found.image)[None], CHIP_WINDOW)
    with torch.inference_mode():
        return _recogniser()(seen)[0].numpy()


@cache
def _recogniser() -> Recogniser:
    """The recogniser, loaded once per process, with one thread because there is a process per core."""
    torch.set_num_threads(1)
    return load_recogniser()

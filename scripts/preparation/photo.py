"""Checks, crops, resizes and writes one photo. This runs in worker processes and is quick to import."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from scripts.preparation.reasons import Reason
from util.photos import UnreadableImageError, opened_photo, upright

Box = tuple[float, float, float, float]
"""left, top, right, bottom in pixels of the photo; may extend beyond it"""

CHECKED = 64
"""Width and height in pixels of the small copy that is used to measure colour and to compute the hash."""
HASH_FREQUENCIES = 16
HASH_BYTES = HASH_FREQUENCIES**2 // 8
LIGHTNESS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue (ITU-R BT.601)."""


@dataclass(frozen=True)
class PhotoWork:
    """Settings for all photos; mode is crop, copy or link, sizes are in pixels; see settings.py."""

    mode: str
    size: int
    format: str
    quality: int
    min_size: int
    min_colour: float
    allow_second_face: bool = False


@dataclass(frozen=True)
class PhotoTask:
    """One photo: the number of its row, its file or bytes (None if it is missing), and the file to write."""

    number: int
    photo: Path | bytes | None
    target: Path
    box: Box | None = None
    """box to crop to with --margin; None crops to the central square"""
    needs_box: bool = False
    align: bool = False
    landmarks: tuple[float, ...] = ()
    """x and y of five landmarks in the upright photo, for alignment; empty if the collection has none"""


class Outcome(NamedTuple):
    """The outcome of one photo."""

    number: int
    reason: str = ""
    """"" if the photo was written"""
    width: int = 0
    height: int = 0
    """size of the photo in pixels; 0 if it could not be read"""
    file_size: int = 0
    """size of the written file in bytes"""
    hash: bytes = b""
    """perceptual hash of HASH_BYTES bytes"""
    detail: str = ""
    landmarks: tuple[float, ...] = ()
    """x and y of the five landmarks by which the photo was aligned, in pixels of the upright photo"""


def prepare_batch(batch: tuple[PhotoWork, list[PhotoTask]]) -> list[Outcome]:
    """Call `prepare_photo` for a list of tasks."""
    work, tasks = batch
    return [prepare_photo(work, task) for task in tasks]


def prepare_photo(work: PhotoWork, task: PhotoTask) -> Outcome:
    """Check a photo and write it. Raises OSError if the target cannot be written; other failures are outcomes."""
    if task.photo is None:
        return Outcome(task.number, Reason.MISSING)
    try:
        file = io.BytesIO(task.photo) if isinstance(task.photo, bytes) else task.photo
        with opened_photo(file, task.target.name) as image:
            width, height = image.size
            reason = objection(work, task, width, height)
            if reason:
                return Outcome(task.number, reason, width, height)
            decoded = decoded_for(work, task, image)
    except UnreadableImageError as error:
        return Outcome(task.number, Reason.UNREADABLE, detail=error.reason)
    shown = aligned_face(work, task, decoded) if task.align else cropped(task, decoded, width, height)
    if isinstance(shown, Reason):
        return Outcome(task.number, shown, width, height)
    small = np.asarray(crop_to(shown.image, shown.box, CHECKED, Image.Resampling.BOX), dtype=np.float32)
    if colourfulness(small) < work.min_colour:
        return Outcome(task.number, Reason.GREY, width, height)
    size = write(work, task, shown.image, shown.box)
    return Outcome(task.number, "", width, height, size, perceptual_hash(small), landmarks=shown.landmarks)


def objection(work: PhotoWork, task: PhotoTask, width: int, height: int) -> str:
    """The reason why a photo of this size is left out, or ""."""
    # A face to be aligned may extend beyond the photo, but not much.
    if min(width, height) < (work.min_size / 2 if task.align else work.min_size):
        return Reason.TOO_SMALL
    box = task.box or middle_square(width, height)
    return Reason.BOX if (task.needs_box and task.box is None) or not is_centred_in(box, width, height) else ""


def decoded_for(work: PhotoWork, task: PhotoTask, image: Image.Image) -> Image.Image:
    """Decode an opened photo and turn it upright, possibly reduced, but not below the size that is needed."""
    if not task.align:
        # A JPEG decoder can halve the size while decoding. Nothing is lost if at least twice the target size remains.
        box = task.box or middle_square(*image.size)
        needed = 2 * work.size / (box[2] - box[0])
        image.draft("RGB", (round(image.width * needed), round(image.height * needed)))
    return upright(image)


class Framed(NamedTuple):
    """The image to write: the square `box` of an image."""

    image: Image.Image
    box: Box
    landmarks: tuple[float, ...] = ()


def cropped(task: PhotoTask, decoded: Image.Image, width: int, height: int) -> Framed:
    """The square to crop to in a decoded photo whose original size was `width` x `height` pixels."""
    if task.box is None:
        return Framed(decoded, middle_square(*decoded.size))
    scale = max(decoded.size) / max(width, height)
    left, top, right, bottom = (side * scale for side in task.box)
    return Framed(decoded, (left, top, right, bottom))


def aligned_face(work: PhotoWork, task: PhotoTask, decoded: Image.Image) -> Framed | Reason:
    """The aligned face of a decoded photo, or the reason why there is none."""
    from scripts.preparation.aligning import align_photo  # imports the detector

    known = np.reshape(task.landmarks, (5, 2)) if task.landmarks else None
    face = align_photo(decoded, work.size, least=work.min_size, allow_second=work.allow_second_face, known=known)
    if isinstance(face, Reason):
        return face
    return Framed(face.image, (0, 0, work.size, work.size), tuple(face.landmarks.ravel().tolist()))


def middle_square(width: int, height: int) -> Box:
    """The central square of a photo, as large as possible."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def square_around(face: Box, margin: float) -> Box:
    """A square around the face's centre: its longer side, enlarged by `margin` times this side in each direction."""
    left, top, right, bottom = face
    half = max(right - left, bottom - top) * (0.5 + margin)
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - half, y - half, x + half, y + half


def is_centred_in(box: Box, width: int, height: int) -> bool:
    """Whether a box is not empty, and its centre is inside the photo."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return box[2] - box[0] >= 1 and 0 <= x < width and 0 <= y < height


def crop_to(image: Image.Image, box: Box, size: int, resampling: Image.Resampling) -> Image.Image:
    """The square `box` of an image, resized to (size, size). If it extends beyond the image, the border is repeated."""
    left, top, right, bottom = max(0.0, box[0]), max(0.0, box[1]), min(image.width, box[2]), min(image.height, box[3])
    if (left, top, right, bottom) == box:
        return image.resize((size, size), resampling, box=box)
    scale = size / (box[2] - box[0])
    before = (min(size - 1, round((left - box[0]) * scale)), min(size - 1, round((top - box[1]) * scale)))
    inner = (
        min(size - before[0], max(1, round((right - left) * scale))),
        min(size - before[1], max(1, round((bottom - top) * scale))),
    )
    pixels = np.asarray(image.resize(inner, resampling, box=(left, top, right, bottom)))
    padding = [(before[1], size - before[1] - inner[1]), (before[0], size - before[0] - inner[0]), (0, 0)]
    return Image.fromarray(np.pad(pixels, padding, mode="edge"))


def colourfulness(pixels: np.ndarray) -> float:
    """The amount of colour that is not a tone: 0 for grey and evenly toned photos, above 5 for nearly all others.

    pixels: float32 RGB (H, W, 3) in [0, 255]. In grey photos, and in photos toned in sepia or blue, the differences
    red - green and blue - green are functions of the lightness. A cubic polynomial is fitted to them; returns the root
    mean square of its residual, in the same unit.
    """
    flat = pixels.reshape(-1, 3)
    lightness = flat @ (LIGHTNESS / np.float32(127.5)) - 1
    differences = flat[:, [0, 2]] - flat[:, [1]]
    powers = np.empty((len(flat), 4), dtype=np.float32)
    powers[:, 0] = 1
    for degree in (1, 2, 3):
        np.multiply(powers[:, degree - 1], lightness, out=powers[:, degree])
    # The normal equations have four unknowns, and an accuracy of a hundredth of a grey level is sufficient.
    fit = np.linalg.lstsq(powers.T @ powers, powers.T @ differences, rcond=None)[0]
    unexplained = (differences - powers @ fit).ravel()
    return float(np.sqrt(unexplained @ unexplained / len(unexplained)))


def _cosines() -> np.ndarray:
    """The lowest HASH_FREQUENCIES rows of the discrete cosine transform of CHECKED values."""
    places, frequencies = np.arange(CHECKED) + 0.5, np.arange(HASH_FREQUENCIES)[:, None]
    return np.cos(np.pi / CHECKED * frequencies * places).astype(np.float32)


COSINES = _cosines()


def perceptual_hash(pixels: np.ndarray) -> bytes:
    """A hash of HASH_BYTES bytes, which differs in few bits between resized, recompressed or brightened copies of a
    photo.

    pixels: float32 RGB (CHECKED, CHECKED, 3) in [0, 255]. Each bit tells whether one of the lowest frequencies of the
    lightness, except the mean, is above their median; the last bit is unused. Source: pHash, Zauner, "Implementation
    and benchmarking of perceptual image hash functions", 2010, with 16 x 16 frequencies instead of 8 x 8.
    """
    frequencies = (COSINES @ (pixels @ LIGHTNESS) @ COSINES.T).ravel()
    others = frequencies[1:]
    median = np.partition(others, len(others) // 2)[len(others) // 2]
    return np.packbits(np.append(others > median, False)).tobytes()


def write(work: PhotoWork, task: PhotoTask, image: Image.Image, box: Box) -> int:
    """Write the file of a task; returns its size in bytes. Raises OSError.

    If the process is killed while writing, the incomplete file is in the workspace, but not in the journal, and is
    written again or removed later.
    """
    task.target.unlink(missing_ok=True)
    if work.mode == "link" and isinstance(task.photo, Path):
        os.link(task.photo.resolve(), task.target)
    elif work.mode == "copy" and isinstance(task.photo, Path):
        shutil.copyfile(task.photo, task.target)
    elif work.mode != "crop" and isinstance(task.photo, bytes):  # from an archive, so it cannot be linked
        task.target.write_bytes(task.photo)
    else:
        resized = crop_to(image, box, work.size, Image.Resampling.LANCZOS)
        if work.format == "jpg":
            resized.save(task.target, format="JPEG", quality=work.quality, subsampling=0)
        else:
            resized.save(task.target, format="PNG")
    return task.target.stat().st_size

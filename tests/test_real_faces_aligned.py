"""Faces found and aligned in real photos: the figures of docs/faces.md. $WIKI_FACES and $UTKFACE name the collections.

python -m pytest -m slow -s tests/test_real_faces_aligned.py
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import ROOT

from faces.align import alignment_of
from faces.detect import SEARCH_SIZES, Face, find_faces
from faces.paste import paste_change
from util.photos import read_image

WIKI = Path(os.environ.get("WIKI_FACES", ROOT.parent / "shared" / "wiki_faces")) / "wiki_crop"
UTKFACE = Path(os.environ.get("UTKFACE", ROOT.parent / "shared" / "utkface")) / "UTKFace"
CHIP_EYES = np.array([(65, 55), (132, 55)])
needs_wiki = pytest.mark.skipif(not WIKI.is_dir(), reason=f"needs a sample of IMDB-WIKI at {WIKI}")
needs_utkface = pytest.mark.skipif(not UTKFACE.is_dir(), reason=f"needs UTKFace at {UTKFACE}")
pytestmark = pytest.mark.slow


def sample(folder: Path, count: int) -> list[Image.Image]:
    paths = sorted(folder.rglob("*.jpg"))
    return [read_image(path) for path in random.Random(0).sample(paths, count)]


def turned(image: Image.Image, degrees: float) -> tuple[Image.Image, np.ndarray]:
    """A photo at 0.6 of its size and turned, and the matrix (2, 3) from its coordinates to the new ones."""
    small = image.resize((image.width * 6 // 10, image.height * 6 // 10), Image.Resampling.LANCZOS)
    angle, middle = np.deg2rad(degrees), np.array(small.size) / 2
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    linear = rotation * (np.array(small.size) / image.size)
    photo = small.rotate(degrees, Image.Resampling.BICUBIC)
    return photo, np.column_stack([linear, middle - rotation @ middle])


def largest(image: Image.Image, refine: bool) -> Face | None:
    return next(iter(find_faces(image, sizes=SEARCH_SIZES[:1], refine=refine)), None)


def deviations(images: list[Image.Image], degrees: float, refine: bool) -> tuple[int, np.ndarray]:
    """Faces lost by turning, and for each other one how far its landmarks moved, in distances between its eyes."""
    lost, moved = 0, []
    for image in images:
        before = largest(image, refine)
        if before is None:
            continue
        photo, matrix = turned(image, degrees)
        after = largest(photo, refine)
        if after is None:
            lost += 1
            continue
        expected = before.landmarks @ matrix[:, :2].T + matrix[:, 2]
        unit = np.hypot(*(expected[1] - expected[0]))
        moved.append(np.hypot(*(after.landmarks - expected).T).mean() / unit)
    return lost, np.array(moved)


@needs_wiki
def test_nearly_all_faces_are_found_and_quickly() -> None:
    images = sample(WIKI, 400)
    find_faces(images[0])
    for sizes in (SEARCH_SIZES[:1], SEARCH_SIZES):
        start = time.process_time()
        found = [len(find_faces(image, sizes=sizes)) for image in images]
        each = (time.process_time() - start) / len(images)
        several = sum(count > 1 for count in found)
        print(
            f"\n{sizes}: {sum(map(bool, found))} of 400 photos with a face, {several} with several; {each * 1e3:.0f} ms"
        )
        assert sum(map(bool, found)) >= 396


@needs_wiki
def test_landmarks_hardly_depend_on_size_and_turn() -> None:
    images = sample(WIKI, 150)
    for degrees, most in ((0, 0.04), (15, 0.04), (45, 0.05)):
        for refine in (False, True):
            lost, moved = deviations(images, degrees, refine)
            print(f"\nturned by {degrees}, refined {refine}: {moved.mean():.3f} on average, {lost} lost")
        assert moved.mean() < most and lost <= 8


@needs_wiki
def test_untouched_real_faces_come_back_to_the_bit() -> None:
    for image in sample(WIKI, 40):
        for face in find_faces(image):
            alignment = alignment_of(face.landmarks, 128)
            made = paste_change(image, np.zeros((128, 128, 3), dtype=np.float32), alignment)
            assert np.array_equal(made, np.asarray(image))


@needs_utkface
def test_in_tight_chips_the_points_are_beside_the_eyes() -> None:
    """Why UTKFace's chips are not aligned."""
    found = [largest(image, refine=True) for image in sample(UTKFACE, 200)]
    eyes = np.array([face.landmarks[:2] for face in found if face is not None])
    wider = float(np.mean(eyes[:, 1, 0] - eyes[:, 0, 0])) / (CHIP_EYES[1, 0] - CHIP_EYES[0, 0])
    print(f"\n{len(eyes)} of 200 chips with a face; eyes {wider:.2f} times as far apart as they are")
    assert wider > 1.1

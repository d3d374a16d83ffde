"""Labels for the hair of aligned faces, from colours and places alone: no person has to mark any hair.

A network for video calls says which pixels belong to the person. GrabCut (Rother, Kolmogorov and Blake 2004, "GrabCut:
interactive foreground extraction using iterated graph cuts", ACM Transactions on Graphics 23(3)) then separates the
hair from the rest: it begins with the part of the person around the face whose colours are not those of the cheeks, and
with what has the same colour below.
Labels are wrong in places and missing for many faces; a network that learns from many of them is better than they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from util.errors import UserError

PersonModel = Callable[[Image.Image], np.ndarray]
"""Maps a photo to the probabilities (H, W) that its pixels show a person, of any size."""
SIZE = 192
"""Width and height of the labels, in pixels."""
SHARES = (0.02, 0.6)
"""Smallest and largest share of a photo that a label may cover."""
REDS, YELLOWS = (-4, 28), (-5, 42)
"""Colours of hair, in units of CIELAB's a and b. A hat often has others."""

LONG_HAIR = 0.004
"""Smallest share of half a photo that is hair beside a cheek, if the hair is longer than that."""
SAME_COLOUR = (18, 6, 8)
"""Differences in units of CIELAB's L, a and b within which the colours of long hair lie."""


def load_person_model(path: Path) -> PersonModel:
    """Load MediaPipe's selfie segmentation, a TensorFlow Lite file. Raises UserError."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UserError("--person_model needs another package: pip install ai-edge-litert") from error
    try:
        interpreter = Interpreter(str(path), num_threads=1)
    except (OSError, ValueError) as error:
        raise UserError(f"--person_model {path}: {error}") from error
    interpreter.allocate_tensors()
    seen, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    height, width = seen["shape"][1:3]

    def person(photo: Image.Image) -> np.ndarray:
        small = photo.resize((width, height), Image.Resampling.BICUBIC)
        interpreter.set_tensor(seen["index"], np.asarray(small, np.float32)[None] / 255)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(result["index"])[0, ..., -1])

    return person


def load_opencv() -> Any:
    """Import OpenCV. Raises UserError if it is missing, or lacks a library of the system."""
    try:
        import cv2
    except ImportError as error:
        raise UserError(f"labels need OpenCV ({error}): pip install opencv-python-headless") from error
    return cv2


def label_hair(photo: Image.Image, person_model: PersonModel) -> np.ndarray | None:
    """Return where an RGB photo of a face that was aligned by faces/align.py shows hair, bool (SIZE, SIZE), or None if
    that is not clear or the hair's colour is rather that of a hat."""
    cv2 = load_opencv()
    pixels = np.asarray(photo.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    person = cv2.resize(person_model(photo), (SIZE, SIZE))
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32) - (0, 128, 128)
    areas = _areas(lab, person)
    if (areas == cv2.GC_FGD).mean() < SHARES[0] / 5:
        return None
    cv2.setRNGSeed(0)
    cv2.grabCut(
        pixels[..., ::-1].copy(), areas, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK
    )
    hair = ((areas == cv2.GC_FGD) | (areas == cv2.GC_PR_FGD)) & (person > 0.3)
    if not SHARES[0] <= hair.mean() <= SHARES[1]:
        return None
    _, red, yellow = np.median(lab[hair], axis=0)
    is_hair = REDS[0] <= red <= REDS[1] and YELLOWS[0] <= yellow <= YELLOWS[1]
    return np.asarray(hair) if is_hair else None


def _areas(lab: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Return what GrabCut begins with, uint8 (H, W): hair, perhaps hair, perhaps none, or none."""
    cv2 = load_opencv()
    y, x = np.mgrid[: len(lab), : len(lab)] / len(lab)

    def inside(centre: float, width: float, height: float) -> np.ndarray:
        """Whether pixels are in an ellipse on the middle line of the face."""
        return np.asarray(((x - 0.5) / width) ** 2 + ((y - centre) / height) ** 2 < 1)

    features = inside(0.58, 0.20, 0.22)  # eyes, nose, mouth
    cheeks = features & (abs(y - 0.56) < 0.06) & (abs(x - 0.5) > 0.05)
    skin, spread = np.median(lab[cheeks], axis=0), np.maximum(lab[cheeks].std(axis=0), (8, 4, 4))
    unlike_skin = np.sqrt((((lab - skin) / (spread * (1.6, 1.5, 1.5))) ** 2).mean(axis=2))
    is_person = person > 0.6
    around = is_person & (y < 0.62) & (abs(x - 0.5) < 0.38) & ~inside(0.58, 0.30, 0.38)
    fringe = is_person & (y < 0.37) & (unlike_skin > 1.6) & (lab[..., 0] < skin[0])
    areas = np.full(lab.shape[:2], cv2.GC_PR_BGD, np.uint8)
    areas[is_person & (y < 0.80) & ~inside(0.58, 0.27, 0.31) & (unlike_skin > 1.3)] = cv2.GC_PR_FGD
    areas[around & (unlike_skin > 1.8)] = cv2.GC_FGD
    areas[(person < 0.1) | features | (y > 0.93)] = cv2.GC_BGD
    areas[inside(0.56, 0.23, 0.28) & ~fringe & (areas != cv2.GC_BGD)] = cv2.GC_PR_BGD
    areas[_long_hair(lab, is_person & ~inside(0.58, 0.27, 0.36), areas == cv2.GC_FGD)] = cv2.GC_FGD
    return areas


def _long_hair(lab: np.ndarray, possible: np.ndarray, certain: np.ndarray) -> np.ndarray:
    """Return where hair beside the cheeks goes on below, bool (H, W): possible pixels of its colour that are connected
    with it."""
    cv2 = load_opencv()
    size = len(lab)
    below = np.mgrid[:size, :size][0] > 0.55 * size
    found = np.zeros_like(certain)
    for side in (slice(0, size // 2), slice(size // 2, size)):
        beside = (certain & below)[:, side]
        if beside.mean() < LONG_HAIR:
            continue
        difference = (lab[:, side] - np.median(lab[:, side][beside], axis=0)) / SAME_COLOUR
        alike = (possible & below)[:, side] & (np.sqrt((difference**2).mean(axis=2)) < 1)
        without_strays = cv2.morphologyEx(alike.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        _, parts = cv2.connectedComponents(without_strays)
        found[:, side] = np.isin(parts, np.setdiff1d(parts[beside], 0))
    return found

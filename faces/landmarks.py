"""Five landmarks of a face as numbers: where they usually are, how to fit that to a face, whether they can be right."""

from __future__ import annotations

import numpy as np

USUAL = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.571), (-0.414, 1.155), (0.414, 1.155)])
"""(5, 2): both eyes, the tip of the nose, both corners of the mouth, in units of the distance between the eyes, from
the point between them. The proportions are those of the template that face recognisers align to (Deng et al., "ArcFace:
Additive Angular Margin Loss for Deep Face Recognition", 2019)."""
MIRRORED = [1, 0, 2, 4, 3]
"""The order of the landmarks in a mirrored photo."""

FARTHEST_FROM_USUAL = 0.45
"""Root mean square distance of landmarks to the fitted usual ones, in units of the fitted distance between the eyes. A
full profile has about 0.4."""
EYE_DISTANCES = (0.12, 0.8)
"""Distance between the eyes, in units of the box's width, from profiles to boxes that are too small."""
BEYOND_BOX = 0.1
"""How far outside the box a landmark may be, in units of the box's sides."""


def fitted_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity transform that brings points (N, 2) closest to others in the least squares, as a matrix (2, 3).

    It scales, rotates and moves, and never mirrors. Source: Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", 1991; in the plane its solution is one complex number.
    """
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    moved = (source - from_mean) @ (1, 1j)
    wanted = (target - to_mean) @ (1, 1j)
    spread = np.vdot(moved, moved).real
    factor = np.vdot(moved, wanted) / spread if spread > 0 else 0j
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, to_mean - linear @ from_mean])


def transformed(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) through a matrix (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def is_plausible(landmarks: np.ndarray, box: tuple[float, float, float, float]) -> bool:
    """Whether landmarks (5, 2) can be those of a face with this box (left, top, right, bottom).

    They must be in order (no eye, no corner of the mouth on the other's side, the mouth below the eyes, as seen from
    the face), inside the box, at believable distances. Somebody who stands on the head passes.
    """
    if not np.isfinite(landmarks).all():
        return False
    corner, extent = np.array(box[:2]), np.array(box[2:]) - box[:2]
    inside = (landmarks - corner) / extent
    if (inside < -BEYOND_BOX).any() or (inside > 1 + BEYOND_BOX).any():
        return False
    eyes, mouth = landmarks[1] - landmarks[0], landmarks[4] - landmarks[3]
    down = landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0)
    if min(_turn(eyes, down), _turn(mouth, down)) <= 0:
        return False
    fit = fitted_similarity(USUAL, landmarks)
    unit = float(np.hypot(*fit[:, 0]))
    distance = float(np.sqrt(((transformed(fit, USUAL) - landmarks) ** 2).sum(axis=1).mean()))
    least, most = EYE_DISTANCES
    return distance <= FARTHEST_FROM_USUAL * unit and least <= np.hypot(*eyes) / extent[0] <= most


def _turn(one: np.ndarray, other: np.ndarray) -> float:
    """Positive where `other` points to the right-hand side of `one`, as seen on a screen whose y axis points down."""
    return float(one[0] * other[1] - one[1] * other[0])

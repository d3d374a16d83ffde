"""The five landmarks of a face: their usual positions, fitting these to a face, and a test of plausibility."""

from __future__ import annotations

import numpy as np

USUAL = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.571), (-0.414, 1.155), (0.414, 1.155)])
"""(5, 2): the usual positions of both eyes, the tip of the nose and both corners of the mouth, relative to the midpoint
between the eyes, in units of their distance. The proportions are those of the template to which face recognisers are
aligned (Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019)."""
MIRRORED = [1, 0, 2, 4, 3]
"""The order of the landmarks in a mirrored photo."""

FARTHEST_FROM_USUAL = 0.45
"""Maximum root mean square distance of landmarks from the fitted usual ones, in units of the fitted distance between
the eyes. A full profile has about 0.4."""
EYE_DISTANCES = (0.12, 0.8)
"""Range of the distance between the eyes in units of the box's width, from profiles to boxes that are too small."""
BEYOND_BOX = 0.1
"""Maximum distance of a landmark outside the box, in units of the box's sides."""


def fitted_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least-squares similarity transform from points (N, 2) to other points (N, 2), as a matrix (2, 3).

    It scales, rotates and moves, but never mirrors. Source: Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", 1991; in the plane, its linear part is one complex number.
    """
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    moved = (source - from_mean) @ (1, 1j)
    wanted = (target - to_mean) @ (1, 1j)
    spread = np.vdot(moved, moved).real
    factor = np.vdot(moved, wanted) / spread if spread > 0 else 0j
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, to_mean - linear @ from_mean])


def transformed(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a matrix (2, 3) to points (N, 2)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def is_plausible(landmarks: np.ndarray, box: tuple[float, float, float, float]) -> bool:
    """Whether landmarks (5, 2) can belong to a face with this box (left, top, right, bottom).

    Eyes and corners of the mouth must be on their own sides and the mouth below the eyes, in the face's own
    orientation. All landmarks must be inside the box and at plausible distances. Faces that are upside down are
    accepted.
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
    """Positive if `other` points to the right of `one`, as seen on a screen whose y axis points down."""
    return float(one[0] * other[1] - one[1] * other[0])

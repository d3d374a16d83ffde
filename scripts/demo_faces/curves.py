"""Outlines in face units: (N, 2) arrays of (x, y), y downwards, the head's centre at 0 and its half height 1."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Points = Array | Sequence[tuple[float, float]]

STEPS = 8  # spline samples per control point

_T = np.linspace(0, 1, STEPS, endpoint=False)[:, None]
_CATMULL_ROM = 0.5 * np.hstack(
    [-_T + 2 * _T**2 - _T**3, 2 - 5 * _T**2 + 3 * _T**3, _T + 4 * _T**2 - 3 * _T**3, -(_T**2) + _T**3]
)


def spline(points: Points, closed: bool = False) -> Array:
    """A Catmull-Rom spline through the control points, with `STEPS` samples per span."""
    control = np.asarray(points, float)
    if closed:  # noqa: SIM108 (one line would be too long)
        padded = np.vstack([control[-1], control, control[:2]])
    else:
        padded = np.vstack([control[0], control, control[-1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 4, axis=0)  # (spans, 2, 4)
    curve = np.einsum("tk,sck->stc", _CATMULL_ROM, windows).reshape(-1, 2)
    return curve if closed else np.vstack([curve, control[-1]])


def resample(curve: Array, count: int) -> Array:
    """Resample a curve to `count` points at equal distances."""
    lengths = np.r_[0, np.cumsum(np.hypot(*np.diff(curve, axis=0).T))]
    places = np.linspace(0, lengths[-1], count)
    return np.column_stack([np.interp(places, lengths, curve[:, axis]) for axis in (0, 1)])


def normals(curve: Array) -> Array:
    """Unit normals of a curve, (N, 2)."""
    along = np.vstack([curve[1] - curve[0], curve[2:] - curve[:-2], curve[-1] - curve[-2]])
    return (along[:, ::-1] * (-1, 1)) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]


@cache
def brush(count: int, taper: float) -> Array:
    """The relative width along a stroke, (count, 1)."""
    return np.sin(np.linspace(0.02, np.pi - 0.02, count))[:, None] ** taper


def ribbon(path: Array, width: float, taper: float = 0.5) -> Array:
    """The outline of a brush stroke along a path, `width` wide in the middle; a larger taper makes its ends thinner."""
    half = normals(path) * brush(len(path), taper) * (width / 2)
    return np.vstack([path + half, (path - half)[::-1]])


def ellipse(x: float, y: float, radius_x: float, radius_y: float | None = None) -> Array:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.column_stack([x + radius_x * np.cos(angle), y + (radius_y or radius_x) * np.sin(angle)])


def mirror(points: Points, side: float = -1) -> Array:
    """Mirror points to the other half of the face if side is -1; side 1 returns them unchanged."""
    return np.asarray(points, float) * (side, 1)


def symmetric(right_half: Points) -> Array:
    """A closed outline from the control points of its right half, top to bottom, mirrored at x = 0."""
    right = np.asarray(right_half, float)
    left = mirror(right[np.abs(right[:, 0]) > 1e-9])[::-1]
    return spline(np.vstack([right, left]), closed=True)


def arch(left_half: Points) -> Array:
    """An open curve over the head from the control points of its left half, mirrored at x = 0."""
    left = np.asarray(left_half, float)
    return spline(np.vstack([left, mirror(left[:-1])[::-1]]))

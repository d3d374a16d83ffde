"""Track faces through a clip: link the faces of successive frames, and average their landmarks over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from faces.landmarks import transformed

SMOOTHING = 0.5
"""Standard deviation, in seconds, of the Gaussian weights with which landmarks are averaged over time."""
LONGEST_GAP = 0.5
"""Maximum number of seconds for which a face may be missed by the detector; its landmarks are interpolated."""
SHORTEST = 0.2
"""Faces that are visible for fewer seconds count as false detections, unless the clip is hardly longer."""
FADING = 0.2
"""Seconds over which the change fades in if a face appears within the clip, and fades out if it disappears."""


@dataclass(frozen=True, eq=False)
class Track:
    """One face in successive frames."""

    first: int
    """index of its first frame, starting at 0"""
    landmarks: np.ndarray
    """float64 (frames, 5, 2), see faces.detect.Face"""
    weights: np.ndarray
    """float64 (frames,) in [0, 1]: factor of the change"""

    def at(self, frame: int) -> tuple[np.ndarray, float] | None:
        """Landmarks (5, 2) and weight in a frame, or None if the face is not in it."""
        place = frame - self.first
        return (self.landmarks[place], float(self.weights[place])) if 0 <= place < len(self.landmarks) else None


def tracks_of(found: Sequence[Sequence[np.ndarray]], rate: float) -> list[Track]:
    """The faces of a clip, from left to right by the positions at which they first appear.

    found: the landmarks (5, 2) of the faces in each frame. rate: frames per second.
    """
    shortest = min(SHORTEST * rate, len(found) / 2)
    tracks = [_filled(seen, rate, len(found)) for seen in _linked(found, rate) if len(seen) >= shortest]
    return sorted(tracks, key=lambda track: (track.landmarks[0, :, 0].mean(), track.first))


def _linked(found: Sequence[Sequence[np.ndarray]], rate: float) -> list[dict[int, np.ndarray]]:
    """The landmarks of each face by frame. A face is linked to the nearest face of the next frame if it is near."""
    faces: list[dict[int, np.ndarray]] = []
    for frame, here in enumerate(found):
        free = list(here)
        for seen in faces:
            last = max(seen)
            if not free or frame - last > max(1, LONGEST_GAP * rate):
                continue
            distances = [np.linalg.norm(other.mean(axis=0) - seen[last].mean(axis=0)) for other in free]
            nearest = int(np.argmin(distances))
            if distances[nearest] < np.linalg.norm(seen[last][1] - seen[last][0]):
                seen[frame] = free.pop(nearest)
        faces += [{frame: landmarks} for landmarks in free]
    return faces


def _filled(seen: dict[int, np.ndarray], rate: float, frames: int) -> Track:
    known, first, last = np.array(list(seen)), min(seen), max(seen)
    values = np.stack(list(seen.values())).reshape(len(seen), -1)
    every = np.arange(first, last + 1)
    filled = np.stack([np.interp(every, known, column) for column in values.T], axis=1)
    return Track(first, filled.reshape(-1, 5, 2), _weights(len(every), rate, first > 0, last < frames - 1))


def _weights(length: int, rate: float, appears: bool, disappears: bool) -> np.ndarray:
    steps = (np.arange(length) + 1) / (FADING * rate + 1)
    rising = np.minimum(1, steps) if appears else np.ones(length)
    falling = np.minimum(1, steps[::-1]) if disappears else np.ones(length)
    return np.minimum(rising, falling)


def steadied(track: Track, paths: Sequence[Sequence[np.ndarray]], rate: float) -> list[Track]:
    """The track of a face in each shot, with landmarks that are averaged over time in coordinates that move with the
    face, where they stand still. A mean in the coordinates of the frames would lag behind.

    paths: for each shot in which the face is seen, and each frame of it, the transform (3, 3) from the coordinates of
    the shot's first frame to the frame's own.
    """
    shots, start = [], 0
    for path in paths:
        end = start + len(path)
        pairs = zip(np.linalg.inv(path), track.landmarks[start:end], strict=True)
        still = np.stack([transformed(back[:2], points) for back, points in pairs])
        mean = gaussian_filter1d(still, SMOOTHING * rate, axis=0, mode="nearest")
        moved = np.stack([transformed(matrix[:2], points) for matrix, points in zip(path, mean, strict=True)])
        shots.append(Track(track.first + start, moved, track.weights[start:end]))
        start = end
    return shots

"""Age the faces of a video: detect the faces in all frames first, then age frame by frame, in parts.

Finished parts are kept beside the result until the end, so that an interrupted command can resume.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from aging.aged_photo import AgedFace, AgedPhoto, age_faces
from aging.clip import Clip, join_parts, open_clip, write_part
from aging.generators import Generator, needed_for
from aging.media import VideoError
from aging.motion import View, is_cut, movement, view_of
from aging.tracks import Track, steadied, tracks_of
from faces.detect import Face, find_faces
from util.files import write_text
from util.terminal import CountedWork

PART = 100
"""Number of frames in a part."""
MEMORY = 0.1
"""Seconds over which the change of a face is averaged."""
SEARCH_SIZE = 640
"""Longer side of the frames for detection, in pixels: faster than for photos, but misses the small faces of a crowd."""


def age_video(
    path: Path, target: Path, generators: Mapping[str, Generator], strength: float, chosen: Sequence[int] | None = None
) -> int:
    """Write a clip with aged faces and its sound as an MP4 file; returns the number of its faces.

    generators, strength: see AgedPhoto. chosen: indices of the faces to change, from left to right, starting at 0;
    None: all. Raises VideoError if the file is not a video, or if it has no face.
    """
    clip = open_clip(path)
    wanted = needed_for(strength, generators)
    work = _work_folder(clip, target, wanted, strength, chosen)
    found = find_in_frames(clip, work)
    tracks = tracks_of(found, clip.rate)
    if not tracks:
        raise VideoError("no face was found in any frame")
    shown = steady_tracks(clip, [track for number, track in enumerate(tracks) if chosen is None or number in chosen])
    parts = write_parts(clip, work, len(found), FrameAger(shown, wanted, strength, clip.rate))
    join_parts(target, parts, path)
    shutil.rmtree(work)
    return len(tracks)


def _work_folder(
    clip: Clip, target: Path, generators: Mapping[str, Generator], strength: float, chosen: Sequence[int] | None
) -> Path:
    """The folder of finished parts. It is emptied if they belong to another clip, model or strength."""
    folder = target.with_name(f".{target.stem}.parts")
    state = clip.path.stat()
    of = [
        str(clip),
        state.st_size,
        state.st_mtime_ns,
        strength,
        chosen,
        [(str(generator.source), generator.card.source_sha256) for generator in generators.values()],
    ]
    fingerprint = hashlib.sha256(json.dumps(of).encode()).hexdigest()
    noted = folder / "of.txt"
    if not noted.is_file() or noted.read_text(encoding="utf-8") != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(noted, fingerprint)
    return folder


def find_in_frames(clip: Clip, work: Path) -> list[list[np.ndarray]]:
    """The landmarks (5, 2) of all faces in each frame. Parts that are in `work` already are read from there."""
    found: list[list[np.ndarray]] = []
    while (kept := work / f"faces_{len(found) // PART:05d}.json").is_file():
        part = json.loads(kept.read_text(encoding="utf-8"))
        found += [[np.array(landmarks) for landmarks in faces] for faces in part]
        if len(part) < PART:
            return found
    with CountedWork(f"{clip.path.name}: detecting faces", clip.frames, "frames") as line:
        line.advance(len(found))
        frames = clip.read(len(found))
        while True:
            part = []
            for frame in islice(frames, PART):
                part.append([face.landmarks for face in find_faces(frame, sizes=(SEARCH_SIZE,))])
                line.advance()
            text = json.dumps([[landmarks.tolist() for landmarks in faces] for faces in part])
            write_text(work / f"faces_{len(found) // PART:05d}.json", text)
            found += part
            if len(part) < PART:
                return found


def steady_tracks(clip: Clip, tracks: Sequence[Track]) -> list[Track]:
    """The tracks with landmarks that follow the movement of the faces' pixels, split where the scene is cut."""
    views: dict[int, View] = {}
    paths: list[list[list[np.ndarray]]] = [[] for _ in tracks]
    with CountedWork(f"{clip.path.name}: following faces", clip.frames, "frames") as line:
        for number, frame in enumerate(clip.read()):
            for key, track in enumerate(tracks):
                if (place := track.at(number)) is None:
                    continue
                before, views[key] = views.get(key), view_of(frame, place[0])
                if before is None or is_cut(before, views[key]):
                    paths[key].append([np.eye(3)])
                else:
                    paths[key][-1].append(movement(before, views[key]) @ paths[key][-1][-1])
            line.advance()
    return [shot for track, shots in zip(tracks, paths, strict=True) for shot in steadied(track, shots, clip.rate)]


class FrameAger:
    """Ages the frames of a clip in their order.

    The change of a face is a running mean of the changes predicted for the last frames of its track, in aligned
    coordinates. Without it, the video would flicker, because networks predict a different pattern if a face moves by
    half a pixel.
    """

    def __init__(
        self, tracks: Sequence[Track], generators: Mapping[str, Generator], strength: float, rate: float
    ) -> None:
        self.tracks, self.generators, self.strength = tracks, generators, strength
        self._share = 1 - math.exp(-1 / (MEMORY * rate))
        self._changes: dict[int, dict[str, np.ndarray]] = {}

    def __call__(self, number: int, frame: np.ndarray) -> np.ndarray:
        """Age the faces of a frame, uint8 RGB (H, W, 3). number: index of the frame, starting at 0."""
        here = [(key, *place) for key, track in enumerate(self.tracks) if (place := track.at(number)) is not None]
        faces = [Face((*points.min(axis=0), *points.max(axis=0)), 1.0, points) for _, points, _ in here]
        aged = age_faces(Image.fromarray(frame), faces, self.generators)
        self._changes = {key: self._mean(key, face) for face, (key, *_) in zip(aged.faces, here, strict=True)}
        shown = [
            replace(face, changes={name: mean * np.float32(weight) for name, mean in self._changes[key].items()})
            for face, (key, _, weight) in zip(aged.faces, here, strict=True)
        ]
        return AgedPhoto(frame, shown).at(self.strength)

    def _mean(self, key: int, face: AgedFace) -> dict[str, np.ndarray]:
        before = self._changes.get(key, face.changes)
        return {
            name: before[name] + np.float32(self._share) * (change - before[name])
            for name, change in face.changes.items()
        }


def write_parts(clip: Clip, work: Path, count: int, change: Callable[[int, np.ndarray], np.ndarray]) -> list[Path]:
    """Write all frames, changed by `change(number, frame)`, in parts; returns their files. Parts that are in `work`
    already are not written again."""
    parts = [work / f"part_{number:05d}.mkv" for number in range(-(-count // PART))]
    missing = next((number for number, part in enumerate(parts) if not part.is_file()), len(parts))
    first = missing * PART
    start = max(0, first - round(5 * MEMORY * clip.rate))  # the running mean depends on the frames before
    with CountedWork(f"{clip.path.name}: ageing", count, "frames") as line:
        line.advance(min(count, first))
        frames = enumerate(clip.read(start), start=start) if missing < len(parts) else iter(())
        for number, frame in islice(frames, first - start):
            change(number, frame)

        def changed() -> Iterator[np.ndarray]:
            for number, frame in islice(frames, PART):
                yield change(number, frame)
                line.advance()

        for part in parts[missing:]:
            write_part(part, clip, changed())
    return parts

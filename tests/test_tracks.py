"""Faces are followed through a clip by their pixels, and each shot and each appearance of a face stands for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from portrait import LANDMARKS, astronaut

from aging.card import Card
from aging.clip import Clip, open_clip, write_part
from aging.generators import Generator
from aging.motion import is_cut, movement, view_of
from aging.tracks import Track, tracks_of
from aging.video import FrameAger, steady_tracks
from faces.landmarks import transformed

RATE, SIDE, SHIFT = 20.0, 240, np.array([100, 10])
"""Frames per second, width and height of the frames, and where their corner lies in the photo."""
FACE = LANDMARKS - SHIFT


@pytest.fixture(scope="module")
def generators() -> Mapping[str, Generator]:
    """A network that darkens what is dark."""
    card = Card("run", "G_A", "older", 128, 4, 3, 3, False, 32, "")
    return {"older": Generator(card, lambda images: np.clip(images + 0.2 * np.minimum(images, 0), -1, 1), Path("none"))}


def pose(number: int) -> np.ndarray:
    """The transform (2, 3) from the photo to a frame in which the face has moved, turned and come nearer."""
    factor = (1 + 0.004 * number) * np.exp(0.01j * number)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, FACE[2] + (1.3 * number, 0.6 * number) - linear @ LANDMARKS[2]])


def frame(number: int) -> np.ndarray:
    """The face in front of a background that stands still."""
    photo = np.asarray(astronaut())
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    from_middle = np.hypot((x - LANDMARKS[2, 0]) / 58, (y - 112) / 80)
    mask = Image.fromarray(np.uint8(255 * np.clip(4 - 4 * from_middle, 0, 1)))
    back = np.linalg.inv(np.vstack([pose(number), (0, 0, 1)]))[:2].ravel().tolist()
    face, inside = (
        image.transform((SIDE, SIDE), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
        for image in (astronaut(), mask)
    )
    return np.asarray(Image.composite(face, astronaut().crop((0, 200, SIDE, 200 + SIDE)), inside))


def written(path: Path, frames: Sequence[np.ndarray]) -> Clip:
    write_part(path, Clip(path, (SIDE, SIDE), RATE, len(frames)), frames)
    return open_clip(path)


def test_a_movement_is_measured_to_a_fraction_of_a_pixel_over_a_still_background() -> None:
    rng = np.random.default_rng(0)
    places = [transformed(pose(number), LANDMARKS) for number in range(8)]
    views = [view_of(frame(number), place + rng.normal(0, 1, (5, 2))) for number, place in enumerate(places)]
    for number in range(7):
        moved = transformed(movement(views[number], views[number + 1])[:2], places[number])
        assert np.abs(moved - places[number + 1]).mean() < 0.1
        assert not is_cut(views[number], views[number + 1])


def test_behind_an_obstacle_and_without_contrast_the_landmarks_tell_the_movement() -> None:
    hidden = frame(1).copy()
    hidden[100:200] = np.random.default_rng(0).integers(0, 255, (100, SIDE, 3))
    for other in (hidden, np.full((SIDE, SIDE, 3), 90, np.uint8)):
        before, after = view_of(frame(0), FACE), view_of(other, FACE + 5)
        assert np.allclose(transformed(movement(before, after)[:2], FACE), FACE + 5)


def test_steady_landmarks_follow_the_face(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    true = np.stack([transformed(pose(number), LANDMARKS) for number in range(20)])
    jittering = Track(0, true + rng.normal(0, 1, true.shape), np.ones(20))
    clip = written(tmp_path / "clip.mkv", [frame(number) for number in range(20)])
    (steady,), (again,) = steady_tracks(clip, [jittering]), steady_tracks(clip, [jittering])
    assert np.array_equal(steady.landmarks, again.landmarks), "what resumes sees the same landmarks"

    def jitter(track: Track) -> float:
        return float(np.std(np.diff(track.landmarks - true, axis=0)))

    assert jitter(steady) < 0.1 * jitter(jittering) and np.abs(steady.landmarks - true).max() < 1


def test_a_still_background_is_as_it_was_beyond_a_moving_face(generators: Mapping[str, Generator]) -> None:
    frames = [frame(number) for number in range(10)]
    track = Track(0, np.stack([transformed(pose(number), LANDMARKS) for number in range(10)]), np.ones(10))
    ager = FrameAger([track], generators, 1.0, RATE)
    changes = [np.abs(ager(number, image).astype(int) - image) for number, image in enumerate(frames)]
    assert all(change[60:180, 80:160].mean() > 1 for change in changes)
    assert all(not change[225:].any() and not change[:, 230:].any() for change in changes)


def test_a_cut_begins_anew(generators: Mapping[str, Generator], tmp_path: Path) -> None:
    """After a cut, neither the landmarks nor the change remember the shot before, even if its face was in the same
    place, and the change does not fade."""
    first = [np.asarray(astronaut().crop((*SHIFT, *SHIFT + SIDE)))] * 6
    mirrored = LANDMARKS[[1, 0, 2, 4, 3]] * (-1, 1) + (512, 0)
    corner = np.rint(mirrored[2] - FACE[2]).astype(int)
    other = Image.fromarray(255 - np.asarray(astronaut())[:, ::-1]).crop((*corner, *corner + SIDE))
    clip = written(tmp_path / "clip.mkv", [*first, *[np.asarray(other)] * 6])
    (track,) = tracks_of([[FACE]] * 6 + [[mirrored - corner]] * 6, RATE)
    shots = steady_tracks(clip, [track])
    assert [(shot.first, len(shot.landmarks), shot.weights.min()) for shot in shots] == [(0, 6, 1), (6, 6, 1)]
    assert np.abs(shots[0].landmarks - FACE).max() < 0.2 > np.abs(shots[1].landmarks - (mirrored - corner)).max()
    ager, fresh = (FrameAger(shots, generators, 1.0, RATE) for _ in range(2))
    frames = list(clip.read())
    after_first_shot = [ager(number, image) for number, image in enumerate(frames)][6]
    assert np.array_equal(after_first_shot, fresh(6, frames[6]))


def test_a_face_that_leaves_and_comes_back_begins_anew(generators: Mapping[str, Generator], tmp_path: Path) -> None:
    empty = np.asarray(astronaut().crop((0, 200, SIDE, 200 + SIDE)))
    face = np.asarray(astronaut().crop((*SHIFT, *SHIFT + SIDE)))
    dark = (face * 0.5).astype(np.uint8)
    clip = written(tmp_path / "clip.mkv", [face] * 10 + [empty] * 12 + [dark] * 10)
    tracks = tracks_of([[FACE]] * 10 + [[]] * 12 + [[FACE]] * 10, RATE)
    assert [(track.first, len(track.landmarks)) for track in tracks] == [(0, 10), (22, 10)]
    assert tracks[0].weights[-1] < 0.3 > tracks[1].weights[0] and tracks[1].weights[-1] == 1
    ager, fresh = (FrameAger(steady_tracks(clip, tracks), generators, 1.0, RATE) for _ in range(2))
    frames = list(clip.read())
    aged = [ager(number, image) for number, image in enumerate(frames)]
    assert all(np.array_equal(aged[number], frames[number]) for number in range(10, 22))
    assert np.array_equal(aged[22], fresh(22, frames[22])) and not np.array_equal(aged[22], frames[22])


def test_gaps_and_errors_of_detection_are_bridged() -> None:
    moving = [LANDMARKS + np.array([2.0 * n, 0]) for n in range(60)]
    found = [[landmarks] for landmarks in moving]
    for n in range(20, 60):
        found[n].insert(0, moving[n] + np.array([300, 50]))
    found[30] = found[31] = []
    found[10].append(LANDMARKS + np.array([700, 0]))  # a pattern, taken for a face in one frame
    first, second = tracks_of(found, 30.0)
    assert (first.first, len(first.landmarks)) == (0, 60) and (second.first, len(second.landmarks)) == (20, 40)
    assert np.allclose(first.landmarks, moving)
    assert first.weights.min() == 1 and second.weights[0] < 0.2 and second.weights[20:].min() == 1
    assert second.at(19) is None and first.at(60) is None

"""Videos: sound, length, colours and stillness are kept; an interrupted one goes on; what cannot be done is told."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from portrait import astronaut
from scipy.ndimage import gaussian_filter

from aging import video
from aging.card import Card
from aging.clip import join_parts, open_clip, write_part
from aging.generators import Generator
from aging.media import VideoError
from aging.tracks import Track, tracks_of
from aging.video import FrameAger, age_video, find_in_frames, steady_tracks

FRAMES, RATE, SIDE = 22, 20, 320
CORNERS = [(round(90 + 40 * np.sin(n / 6)), round(20 + 15 * np.cos(n / 5))) for n in range(FRAMES)]
"""Where the window lies in the photo that the clip shows, frame by frame."""


def ffmpeg(*words: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, words)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut, seen by a camera that moves by whole pixels, with a tone."""
    folder = tmp_path_factory.mktemp("clip")
    photo = np.asarray(astronaut())
    size = {"size": (SIDE, SIDE), "fps": RATE, "codec": "libx264", "macro_block_size": 1, "quality": None}
    writer = imageio_ffmpeg.write_frames(folder / "silent.mp4", output_params=["-crf", "17"], **size)
    writer.send(None)
    for x, y in CORNERS:
        writer.send(np.ascontiguousarray(photo[y : y + SIDE, x : x + SIDE]))
    writer.close()
    ffmpeg(
        "-i",
        folder / "silent.mp4",
        "-f",
        "lavfi",
        "-i",
        f"sine=440:duration={FRAMES / RATE}",
        "-c:v",
        "copy",
        "-c:a",
        "aac",
        folder / "clip.mp4",
    )
    return folder / "clip.mp4"


def darker_lines(images: np.ndarray) -> np.ndarray:
    """A stand-in for a trained network, which ages as these do: what is darker than its surroundings becomes darker."""
    detail = images - gaussian_filter(images, (0, 0, 2, 2))
    return np.clip(images + 1.5 * np.minimum(detail, 0) - 0.05, -1, 1)


@pytest.fixture(scope="module")
def generators() -> Mapping[str, Generator]:
    card = Card("run", "G_A", "older", 128, 4, 3, 3, False, 32, "")
    return {"older": Generator(card, darker_lines, Path("none"))}


@pytest.fixture(scope="module")
def aged(clip: Path, generators: Mapping[str, Generator]) -> Path:
    target = clip.with_name("aged.mp4")
    assert age_video(clip, target, generators, 1.0) == 1
    return target


def frames_of(path: Path) -> list[np.ndarray]:
    return [frame.astype(float) for frame in open_clip(path).read()]


def flicker(frames: Sequence[np.ndarray]) -> float:
    """The mean change from frame to frame, in levels of 255, of what all frames show of the photo: where the camera's
    movement is taken out, all that is left is flicker. What is finer than two pixels, the encoder's noise, is left out.
    """
    left, top = (max(corner[axis] for corner in CORNERS) for axis in (0, 1))
    right, bottom = (min(corner[axis] for corner in CORNERS) + SIDE for axis in (0, 1))
    still = [
        gaussian_filter(frame[top - y : bottom - y, left - x : right - x].astype(float), (2, 2, 0))
        for frame, (x, y) in zip(frames, CORNERS, strict=True)
    ]
    return float(np.mean([np.abs(one - other).mean() for one, other in pairwise(still)]))


def sound(path: Path) -> bytes:
    """The packets of the sound, as they are stored."""
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-map", "0:a", "-c", "copy", "-f", "adts", "-"]
    return subprocess.run(words, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout


def test_sound_length_and_background_are_kept(clip: Path, aged: Path) -> None:
    before, after = frames_of(clip), frames_of(aged)
    assert len(after) == len(before) == FRAMES and open_clip(aged).rate == RATE
    assert len(sound(clip)) > 5000 and sound(aged) == sound(clip)
    changes = np.abs(np.stack(after) - np.stack(before)).mean(axis=(0, 3))
    assert changes[20:120, 70:160].mean() > 2, "the face"
    assert changes[200:, 200:].mean() < 2, "far from the face there is the encoder's loss alone"


def test_it_flickers_no_more_than_its_source(
    clip: Path, aged: Path, generators: Mapping[str, Generator], tmp_path: Path
) -> None:
    source = open_clip(clip)
    frames = list(source.read())
    tracks = tracks_of(find_in_frames(source, tmp_path), RATE)

    def share(landmarks: Sequence[Track]) -> float:
        """The flicker of the aged frames before they are encoded, in units of the source's."""
        ager = FrameAger(landmarks, generators, 1.0, RATE)
        return flicker([ager(number, frame) for number, frame in enumerate(frames)]) / flicker(frames)

    steady, jittering = share(steady_tracks(source, tracks)), share(tracks)
    # An encoder adds flicker even to a clip that is unchanged, by chance more or less, hence the tolerance.
    write_part(tmp_path / "unchanged.mkv", source, frames)
    encoded, unchanged = (flicker(frames_of(path)) / flicker(frames) for path in (aged, tmp_path / "unchanged.mkv"))
    print(
        f"\nFlicker in levels: source {flicker(frames):.3f}. In units of that: aged before encoding {steady:.3f},"
        f" without following the face {jittering:.3f}; encoded {encoded:.3f}, source encoded again {unchanged:.3f}"
    )
    assert steady < 1.02 < 1.2 < jittering
    assert encoded < 1.05 * unchanged


def test_what_is_interrupted_goes_on(
    clip: Path, aged: Path, generators: Mapping[str, Generator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "PART", 8)
    done: list[int] = []

    def stop_at(after: int) -> None:
        done.append(1)
        if len(done) == after:
            raise KeyboardInterrupt

    original, looked = video.age_faces, video.find_faces

    def age_faces(*words: object) -> object:
        stop_at(18)
        return original(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(video, "age_faces", age_faces)
    with pytest.raises(KeyboardInterrupt):
        age_video(clip, tmp_path / "aged.mp4", generators, 1.0)
    assert not (tmp_path / "aged.mp4").exists()
    searched = []
    monkeypatch.setattr(video, "find_faces", lambda *words, **named: searched.append(1) or looked(*words, **named))
    age_video(clip, tmp_path / "aged.mp4", generators, 1.0)
    # Two parts were finished; of the frames before the third, those that the change remembers are looked at again.
    assert not searched and len(done) == 18 + (FRAMES - 16) + 10
    one, other = frames_of(tmp_path / "aged.mp4"), frames_of(aged)
    difference = np.abs(np.stack(one) - np.stack(other)).mean(axis=(1, 2, 3))
    steps = np.abs(np.diff(np.stack(one), axis=0)).mean(axis=(1, 2, 3))
    assert len(one) == FRAMES and difference.max() < 3 < steps.mean() / 2, "no frame twice or left out"
    assert [path.name for path in tmp_path.iterdir()] == ["aged.mp4"]

    # Other options begin anew.
    age_video(clip, tmp_path / "weak.mp4", generators, 0.5)
    assert len(done) == 18 + (FRAMES - 16) + 10 + FRAMES


def test_what_is_no_video_is_told(generators: Mapping[str, Generator], tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "empty.mp4", "missing.mp4"):
        with pytest.raises(VideoError, match=f"{name} cannot be read as a video"):
            age_video(tmp_path / name, tmp_path / "aged.mp4", generators, 1.0)
    ffmpeg("-f", "lavfi", "-i", "color=gray:size=128x96:duration=0.5:rate=10", tmp_path / "grey.mp4")
    with pytest.raises(VideoError, match="no face was found"):
        age_video(tmp_path / "grey.mp4", tmp_path / "aged.mp4", generators, 1.0)


def test_sizes_and_turns_of_all_sorts(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=128x96:duration=0.5:rate=10", tmp_path / "wide.mp4")
    ffmpeg("-display_rotation", "90", "-i", tmp_path / "wide.mp4", "-c", "copy", tmp_path / "turned.mp4")
    wide, turned = open_clip(tmp_path / "wide.mp4"), open_clip(tmp_path / "turned.mp4")
    assert wide.size == (128, 96) and turned.size == (96, 128)
    assert np.abs(np.rot90(next(wide.read())).astype(float) - next(turned.read())).mean() < 2
    assert len(list(wide.read(first=3))) == 2
    odd = [frame[:95, :127] for frame in wide.read()]
    shutil.copy(tmp_path / "wide.mp4", tmp_path / "silent.mp4")
    odd_clip = type(wide)(tmp_path / "silent.mp4", (127, 95), 10.0, len(odd))
    write_part(tmp_path / "part.mkv", odd_clip, odd)
    join_parts(tmp_path / "odd.mp4", [tmp_path / "part.mkv"], tmp_path / "silent.mp4")
    assert open_clip(tmp_path / "odd.mp4").size == (127, 95) and len(frames_of(tmp_path / "odd.mp4")) == 5

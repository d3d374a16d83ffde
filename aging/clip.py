"""Frames of video files by FFmpeg, which the package imageio-ffmpeg brings along."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from aging.media import VideoError
from util.files import atomic_path

QUALITY = ("-crf", "17", "-preset", "medium")
"""of the H.264 encoder: hardly a visible loss"""
COLOURS = (
    "-vf",
    "scale=out_color_matrix=bt709:out_range=tv",
    "-colorspace",
    "bt709",
    "-color_primaries",
    "bt709",
    "-color_trc",
    "bt709",
    "-color_range",
    "tv",
)


@dataclass(frozen=True)
class Clip:
    """A video file."""

    path: Path
    size: tuple[int, int]
    """width and height of its frames as they are shown, in pixels"""
    rate: float
    """frames a second; those of a varying rate are shown or left out to keep it"""
    frames: int
    """their number, which may be off by a few"""

    def read(self, first: int = 0) -> Iterator[np.ndarray]:
        """The frames from number `first` on, uint8 RGB (H, W, 3), turned as the file says."""
        chosen = f"fps={self.rate},select=gte(n\\,{first})"
        reader = imageio_ffmpeg.read_frames(self.path, output_params=["-vf", chosen, "-fps_mode", "passthrough"])
        try:
            width, height = next(reader)["size"]
            for frame in reader:
                yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)
        finally:
            reader.close()


def open_clip(path: Path) -> Clip:
    """What a video file holds. Raises VideoError."""
    try:
        reader = imageio_ffmpeg.read_frames(path)
        meta = next(reader)
        reader.close()
        _, seconds = imageio_ffmpeg.count_frames_and_secs(path)
    except (OSError, RuntimeError, StopIteration) as error:
        raise VideoError(
            f"{path} cannot be read as a video: it is damaged, or FFmpeg does not know its kind"
        ) from error
    return Clip(path, meta["size"], meta["fps"], max(1, round(seconds * meta["fps"])))


def write_part(path: Path, clip: Clip, frames: Iterable[np.ndarray]) -> None:
    """Write some frames of a clip without sound, whole or not at all. Raises OSError."""
    is_even = clip.size[0] % 2 == clip.size[1] % 2 == 0
    with atomic_path(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            temporary,
            clip.size,
            fps=clip.rate,
            codec="libx264",
            quality=None,
            macro_block_size=1,
            ffmpeg_log_level="error",
            pix_fmt_out="yuv420p" if is_even else "yuv444p",
            output_params=[*COLOURS, *QUALITY, "-f", "matroska"],
        )
        writer.send(None)
        try:
            for frame in frames:
                writer.send(np.ascontiguousarray(frame))
        finally:
            writer.close()


def join_parts(path: Path, parts: Sequence[Path], sound_of: Path) -> None:
    """Write an MP4 file of all parts and the sound of another file, if it has any. What the camera noted about place
    and time is left out. Raises VideoError."""
    listing = parts[0].with_name("parts.txt")
    listing.write_text("".join(f"file '{part.name}'\n" for part in parts), encoding="utf-8")
    for sound in ("copy", "aac"):  # MP4 takes most kinds of sound as they are
        with atomic_path(path) as temporary:
            words = [
                imageio_ffmpeg.get_ffmpeg_exe(),
                "-y",
                "-v",
                "error",
                "-f",
                "concat",
                "-safe",
                "0",
                "-i",
                listing,
                "-i",
                sound_of,
                "-map",
                "0:v",
                "-map",
                "1:a?",
                "-c:v",
                "copy",
                "-c:a",
                sound,
                "-map_metadata",
                "-1",
                "-movflags",
                "+faststart",
                "-f",
                "mp4",
                temporary,
            ]
            done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            if done.returncode == 0:
                return
            temporary.touch()
    raise VideoError(f"{path} could not be written: {done.stderr.strip()[-300:]}")

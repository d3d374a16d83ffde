"""Read and write the frames of video files by FFmpeg, which is part of the package imageio-ffmpeg."""

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
"""Settings of the H.264 encoder, with hardly any visible loss."""
COLOURS = (
    *("-vf", "scale=out_color_matrix=bt709:out_range=tv", "-color_range", "tv"),
    *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
)


@dataclass(frozen=True)
class Clip:
    """A video file."""

    path: Path
    size: tuple[int, int]
    """width and height of the frames as displayed, in pixels"""
    rate: float
    """frames per second; if the rate varies, frames are repeated or dropped to keep this rate"""
    frames: int
    """number of frames, which may be off by a few"""

    def read(self, first: int = 0) -> Iterator[np.ndarray]:
        """The frames from number `first` on, uint8 RGB (H, W, 3), rotated as the file's metadata say."""
        chosen = f"fps={self.rate},select=gte(n\\,{first})"
        reader = imageio_ffmpeg.read_frames(self.path, output_params=["-vf", chosen, "-fps_mode", "passthrough"])
        try:
            width, height = next(reader)["size"]
            for frame in reader:
                yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)
        finally:
            reader.close()


def open_clip(path: Path) -> Clip:
    """Open a video file. Raises VideoError."""
    try:
        reader = imageio_ffmpeg.read_frames(path)
        meta = next(reader)
        reader.close()
        _, seconds = imageio_ffmpeg.count_frames_and_secs(path)
    except (OSError, RuntimeError, StopIteration) as error:
        raise VideoError(
            f"{path} cannot be read as a video: it is damaged, or FFmpeg does not support its format"
        ) from error
    return Clip(path, meta["size"], meta["fps"], max(1, round(seconds * meta["fps"])))


def write_part(path: Path, clip: Clip, frames: Iterable[np.ndarray]) -> None:
    """Write frames of a clip without sound, as a complete file or not at all. Raises OSError."""
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
    """Write an MP4 file from all parts and the sound of another file, if it has any. Metadata such as the place and
    time of recording are left out. Raises VideoError."""
    listing = parts[0].with_name("parts.txt")
    listing.write_text("".join(f"file '{part.name}'\n" for part in parts), encoding="utf-8")
    for sound in ("copy", "aac"):  # MP4 supports most sound formats without conversion
        with atomic_path(path) as temporary:
            inputs = ["-f", "concat", "-safe", "0", "-i", listing, "-i", sound_of, "-map", "0:v", "-map", "1:a?"]
            output = ["-c:v", "copy", "-c:a", sound, "-map_metadata", "-1", "-movflags", "+faststart", "-f", "mp4"]
            words = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *inputs, *output, temporary]
            done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            if done.returncode == 0:
                return
            temporary.touch()
    raise VideoError(f"{path} could not be written: {done.stderr.strip()[-300:]}")

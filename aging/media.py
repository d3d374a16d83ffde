"""Which files are videos, and what is wrong with one: needs no package that videos do."""

from __future__ import annotations

from util.errors import UserError

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".3gp")


class VideoError(UserError):
    """A video that cannot be read, aged or written, with the reason."""

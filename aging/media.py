"""Video file extensions and errors, for modules that must not import the packages for videos."""

from __future__ import annotations

from util.errors import UserError

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".3gp")


class VideoError(UserError):
    """A video cannot be read, aged or written; the message gives the reason."""

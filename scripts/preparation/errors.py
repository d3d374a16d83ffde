"""What is wrong with a collection."""

from __future__ import annotations

from util.errors import UserError


class SourceError(UserError):
    """The metadata of a collection are missing or not in the expected format; the message says what was expected."""

"""Makes text from outside (file names, error messages, saved values) safe and short enough to print."""

from __future__ import annotations

from collections.abc import Sequence

JOINERS = "\u200c\u200d"
"""Invisible, harmless characters that Persian, Indian languages and emoji need."""


def printable(text: object, keep: str = "") -> str:
    r"""Convert to a one-line string without characters that control a terminal or cannot be encoded.

    Control characters (including newlines), line separators, marks that change the writing direction, and undecodable
    bytes are escaped as `\n`, `\x1b`, `\u202e`, `\udcff`. keep: characters that are not escaped.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(letter if letter.isprintable() or letter in keep + JOINERS else _escaped(letter) for letter in shown)


def first_few(names: Sequence[object], most: int) -> str:
    """Join the first names with commas, and say how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def _escaped(letter: str) -> str:
    # Python does not count no-break and wide spaces as printable; replace them with plain spaces.
    return " " if letter.isspace() and letter > "\x9f" and letter not in "\u2028\u2029" else repr(letter)[1:-1]

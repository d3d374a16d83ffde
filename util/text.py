"""Text from elsewhere (file names, error messages, saved values) made safe to show."""

from __future__ import annotations

JOINERS = "\u200c\u200d"
"""Invisible, harmless, and part of how Persian, the Indian languages and emoji are written."""


def printable(text: object, keep: str = "") -> str:
    r"""`str(text)` on one line, without a letter that does something to a terminal or cannot be encoded.

    Control characters (a new line among them), line separators, marks that turn the direction of writing, and bytes
    that are no text are written as `\n`, `\x1b`, `\u202e`, `\udcff`. `keep`: letters to leave as they are.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(letter if letter.isprintable() or letter in keep + JOINERS else _escaped(letter) for letter in shown)


def _escaped(letter: str) -> str:
    # No-break and other wide spaces are not "printable" to Python, but spaces to everybody else.
    return " " if letter.isspace() and letter > "\x9f" and letter not in "\u2028\u2029" else repr(letter)[1:-1]

"""Finds the file that a path in a collection's table refers to, by the same rule for folders and archives."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

DRIVE = re.compile(r"[A-Za-z]:/")


class Matcher:
    """Finds the `wanted` path that a file matches.

    A file matches the longest wanted path with which its own path ends: `img_align_celeba/000001.jpg` matches
    `000001.jpg`. If a wanted path is absolute, as written on some other machine, any unambiguous end of it matches.
    any_ending: ignore file extensions, so that `000001.png` matches `000001.jpg`.
    """

    def __init__(self, wanted: Iterable[str], *, any_ending: bool = False) -> None:
        self.any_ending = any_ending
        self._paths: dict[str, str | None] = {}
        absolute = []
        for path in wanted:
            plain = self._normal(path)
            if plain.startswith("/") or DRIVE.match(plain):
                absolute.append((plain, path))
            else:
                self._add(plain.removeprefix("./"), path)
        for plain, path in absolute:
            rest = plain
            while rest:
                _, _, rest = rest.partition("/")
                self._add(rest, path)

    def find(self, name: str) -> str | None:
        """The wanted path that a file name matches, or None."""
        rest = self._normal(name)
        while rest:
            if (path := self._paths.get(rest)) is not None:
                return path
            _, _, rest = rest.partition("/")
        return None

    def _add(self, key: str, path: str) -> None:
        """Map a key to a path; a key that is ambiguous maps to None."""
        if key:
            self._paths[key] = path if self._paths.get(key, path) == path else None

    def _normal(self, path: str) -> str:
        """Normalise a path: Windows writes backslashes, and macOS writes accented letters as two characters."""
        plain = unicodedata.normalize("NFC", path.replace("\\", "/"))
        folder, slash, name = plain.rpartition("/")
        return folder + slash + name.rpartition(".")[0] if self.any_ending and "." in name else plain

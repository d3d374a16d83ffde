"""Which file of a collection a path of its table means: one rule for folders and for archives."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

DRIVE = re.compile(r"[A-Za-z]:/")


class Matcher:
    """Looks up which of some `wanted` paths a file answers for.

    A file answers for the longest end of its path that is wanted: `img_align_celeba/000001.jpg` for `000001.jpg`. Of a
    wanted path that is absolute, on whatever machine it was written, any end will do that means no other file.
    any_ending: `000001.png` answers for `000001.jpg`, too.
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
        """The wanted path that a file of this name answers for; None where there is none."""
        rest = self._normal(name)
        while rest:
            if (path := self._paths.get(rest)) is not None:
                return path
            _, _, rest = rest.partition("/")
        return None

    def _add(self, key: str, path: str) -> None:
        """Let a key mean a path; one that could mean two means none."""
        if key:
            self._paths[key] = path if self._paths.get(key, path) == path else None

    def _normal(self, path: str) -> str:
        """Paths that look alike are alike: Windows writes backslashes, a Mac letters with accents as two characters."""
        plain = unicodedata.normalize("NFC", path.replace("\\", "/"))
        folder, slash, name = plain.rpartition("/")
        return folder + slash + name.rpartition(".")[0] if self.any_ending and "." in name else plain

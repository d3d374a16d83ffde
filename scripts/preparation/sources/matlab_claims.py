"""A look at a MATLAB 5 file before it is read: can it be as large as it says, is it nested no deeper than sane?

The reader believes sizes: a few bytes can make it ask for all the memory there is, or go down so deep that the process
dies without a word. What is looked at here is what it reads, in the order in which it reads it. The format is described
in MathWorks' "MAT-File Format".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from math import prod

from scripts.preparation.sources.table import SourceError
from util.archives import MAX_MEMBER_BYTES, MAX_RATIO, RATIO_FREE_BYTES

HEADER_BYTES = 128
VERSION_5, VERSION_7_3 = (b"\x00\x01IM", b"\x01\x00MI"), (b"\x00\x02IM", b"\x02\x00MI")
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, CHAR, SPARSE, OPAQUE = 1, 2, 4, 5, 17
COMPLEX = 0x800
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13)
TEXTS = (*NUMBERS, 16, 17, 18)
"""Types of data; the reader dies of others."""

MAX_DEPTH = 16
"""Of cells and structs within one another; the public collections have three."""
MAX_CELLS = 4_000_000
"""In all: an empty one takes 8 bytes in the file, and a hundred in memory. IMDB-WIKI has some 1.4 million."""
MAX_BLANKS = 4096
"""Letters that a text may have without any in the file: they are spaces to the reader."""


class _Claim(Exception):
    """A claim that cannot be; the message says of what."""


def check_claims(content: bytes, name: str, file_name: str) -> None:
    """Raise SourceError where the variable `name` claims more than there is; all else is left for the reader to say."""
    version = content[HEADER_BYTES - 4 : HEADER_BYTES]
    if version in VERSION_7_3:
        return
    if version not in VERSION_5:
        raise SourceError(f"{file_name} is damaged or no MATLAB file of version 5; fetch it again")
    order = "<" if version == VERSION_5[0] else ">"
    try:
        for matrix in _unpacked(content, order):
            _Walk(matrix, order).top(name.encode())
    except _Claim as claim:
        raise SourceError(f"{file_name} claims to hold {claim}: it is damaged, or made to fill the memory") from claim
    except (struct.error, zlib.error) as error:
        raise SourceError(f"{file_name} is damaged or no MATLAB file ({error}); fetch it again") from error


def _unpacked(content: bytes, order: str) -> Iterator[bytes | memoryview]:
    """What is in each outermost matrix, unpacked; in all no more than a file of this size can be taken to hold."""
    left = min(MAX_MEMBER_BYTES, max(RATIO_FREE_BYTES, MAX_RATIO * len(content)))
    place, view = HEADER_BYTES, memoryview(content)
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(order + "II", content, place)
        inside = view[place + 8 : place + 8 + size]
        place += 8 + size
        if kind == COMPRESSED:
            unpacked = zlib.decompressobj().decompress(inside, left + 1)
            left -= len(unpacked)
            if left < 0:
                raise _Claim(f"more than {MAX_RATIO} times its size")
            kind, inside = struct.unpack_from(order + "I", unpacked)[0], memoryview(unpacked)[8:]
        if kind == MATRIX:
            yield inside


class _Walk:
    """Goes through a matrix, and through those within it."""

    def __init__(self, content: bytes | memoryview, order: str) -> None:
        self.content, self.order, self.place = content, order, 0
        self._two = struct.Struct(order + "II")
        self.cells = 0

    def top(self, name: bytes) -> None:
        """Look at the matrix if it is called so."""
        flags, count, called = self._header()
        if called == name:
            self._body(flags, count, 0)

    def _header(self) -> tuple[int, int, bytes]:
        flags = self._two.unpack_from(self.content, self.place + 8)[0]
        self.place += 16
        first, size = self._part()
        count = prod(struct.unpack_from(f"{self.order}{size // 4}i", self.content, first))
        first, size = self._part()
        return flags, count, bytes(self.content[first : first + size])

    def _part(self, types: tuple[int, ...] = TEXTS) -> tuple[int, int]:
        """Pass a part of a matrix; returns its content's place and size in bytes."""
        word, size = self._two.unpack_from(self.content, self.place)
        if word & 0xFFFF not in types or (word >> 16) > 4:
            raise struct.error(f"data of type {word}")
        if word >> 16:  # up to four bytes, within the head itself
            self.place += 8
            return self.place - 4, word >> 16
        first = self.place + 8
        self.place = first + size + -size % 8
        return first, size

    def _body(self, flags: int, count: int, depth: int) -> None:
        kind = flags & 0xFF
        if kind == CELL:
            self._matrices(count, depth)
        elif kind == STRUCT:
            first, _ = self._part()
            length = struct.unpack_from(self.order + "i", self.content, first)[0]
            _, size = self._part()
            self._matrices(count * (size // max(1, length)), depth)
        elif kind == CHAR:
            _, size = self._part()
            if not 0 <= count <= max(size, MAX_BLANKS):
                raise _Claim(f"{count} letters in {size} bytes")
        elif SPARSE <= kind < OPAQUE - 1:
            for _ in range((3 if kind == SPARSE else 1) + bool(flags & COMPLEX)):
                self._part(
                    NUMBERS
                )  # the reader takes numbers as they come, and compares their count with the claimed one
        else:
            raise _Claim("objects, where numbers and texts are expected")

    def _matrices(self, count: int, depth: int) -> None:
        """Pass so many matrices."""
        self.cells += count
        if not 0 <= 8 * count <= len(self.content) - self.place or self.cells > MAX_CELLS:
            raise _Claim(f"{count} cells in {len(self.content) - self.place} bytes")
        if depth == MAX_DEPTH:
            raise _Claim(f"cells more than {MAX_DEPTH} deep")
        for _ in range(count):
            kind, size = self._two.unpack_from(self.content, self.place)
            self.place += 8
            if kind != MATRIX:
                raise struct.error(f"an element of type {kind} in place of a matrix")
            if size:
                flags, inner, _name = self._header()
                self._body(flags, inner, depth + 1)

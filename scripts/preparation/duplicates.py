"""Finds near-duplicates of photos by their perceptual hashes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

POPCOUNT = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)
CHUNK = 1 << 20
"""Number of pairs that are compared at a time, which needs 32 MiB."""


class Likenesses:
    """Groups of photos with equal hashes, and for each group those whose hashes differ in few bits."""

    def __init__(self, hashes: np.ndarray, distance: int) -> None:
        """hashes: uint8 (photos, bytes). distance: maximum number of different bits; -1 finds no duplicates."""
        self.group = np.arange(len(hashes))
        self.neighbours: dict[int, set[int]] = {}
        if distance < 0 or len(hashes) == 0:
            return
        distinct, self.group = np.unique(hashes, axis=0, return_inverse=True)
        self.group = self.group.reshape(-1)
        for first, second in near_pairs(distinct, distance):
            self.neighbours.setdefault(first, set()).add(second)
            self.neighbours.setdefault(second, set()).add(first)

    def like(self, photo: int) -> set[int]:
        """The groups that a photo is a near-duplicate of, including its own."""
        group = int(self.group[photo])
        return {group} | self.neighbours.get(group, set())


def near_pairs(hashes: np.ndarray, distance: int) -> Iterator[tuple[int, int]]:
    """All pairs of rows of distinct hashes (N, bytes) that differ in at most `distance` bits, some more than once.

    The bits are divided into distance + 1 bands. Two such hashes are equal in at least one band (multi-index hashing,
    Norouzi, Punjani, Fleet, 2012), so only hashes with an equal band are compared.
    """
    bits = np.unpackbits(hashes, axis=1)
    # Bits are shuffled, because neighbouring frequencies are similar in all faces and some bands would discriminate
    # little.
    shuffled = np.random.default_rng(0).permutation(bits.shape[1])
    for band in np.array_split(shuffled, distance + 1):
        keys = np.unique(np.packbits(bits[:, band], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        for first, second in pairs_with_equal_keys(keys):
            difference = POPCOUNT[hashes[first] ^ hashes[second]].sum(axis=1, dtype=np.int32)
            near = difference <= distance
            yield from zip(first[near].tolist(), second[near].tolist(), strict=True)


def pairs_with_equal_keys(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Arrays of the row numbers of all pairs with equal keys, at most CHUNK pairs at a time."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    places = np.arange(len(keys))
    for shift in range(1, len(keys)):
        places = places[places + shift < len(keys)]
        places = places[keys[places] == keys[places + shift]]
        if len(places) == 0:
            return
        for start in range(0, len(places), CHUNK):
            part = places[start : start + CHUNK]
            yield order[part], order[part + shift]

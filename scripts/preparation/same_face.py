"""Which photos show one person, by the vectors that a face recogniser makes of them (faces/recognise.py).

Whether two vectors are near enough cannot be said by one distance for all: faces that the recogniser was trained on
rarely lie close together, so that those of strangers may be nearer than two photos of one person elsewhere. Each photo
is therefore compared with its own surroundings: two show one person if they are much nearer to each other than each of
them is to its 30th neighbour (docs/datasets.md has what this finds in UTKFace, and what one distance would find).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NEIGHBOURS = 30
"""More than most people have photos in a collection that does not say who is on them. Of few photos, a quarter."""
NEARER = 0.8
"""Two photos of one person are nearer to each other than so much of the distance to these neighbours (the geometric
mean of both). From 0.82 on, more than half of the pairs are strangers, and chains of them grow."""
LEAST, MOST = 0.2, 0.5
"""Nearer than the first is the same person, whatever the surroundings; farther than the second, another."""
ROWS = 1024
"""Photos compared with all others at a time."""


def pairs_of_one_person(vectors: np.ndarray) -> np.ndarray:
    """The pairs (first, second) of rows of float32 (N, 128) that show one person: (pairs, 2), first below second."""
    if len(vectors) < 2:
        return np.empty((0, 2), dtype=np.int64)
    place = max(1, min(NEIGHBOURS, len(vectors) // 4))
    surroundings = np.concatenate([np.partition(block, place, axis=1)[:, place] for _, block in _distances(vectors)])
    found = []
    for start, block in _distances(vectors):
        usual = np.sqrt(surroundings[start : start + len(block), None] * surroundings[None])
        first, second = np.nonzero(block < np.clip(NEARER * usual, LEAST, MOST))
        found.append(np.stack([first + start, second], axis=1))
    pairs = np.concatenate(found)
    return pairs[pairs[:, 0] < pairs[:, 1]]


def _distances(vectors: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The distances of ROWS rows at a time to all, with the first row's number."""
    squares = (vectors**2).sum(axis=1)
    for start in range(0, len(vectors), ROWS):
        part = vectors[start : start + ROWS]
        squared = squares[start : start + ROWS, None] + squares[None] - 2 * part @ vectors.T
        yield start, np.sqrt(np.maximum(squared, 0))


def groups_of(pairs: np.ndarray, count: int) -> np.ndarray:
    """A number for each of `count` photos, equal for those that pairs (pairs, 2) connect, also by way of others."""
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]

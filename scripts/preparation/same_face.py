"""Finds photos of the same person by the embeddings of a face recogniser (faces/recognise.py).

A fixed threshold for the distance would not work. Faces of groups that were rare in the recogniser's training have
embeddings close together, so different people of such a group may be closer than two photos of one person elsewhere.
Each photo is therefore compared with its own neighbourhood: two photos show one person if they are much closer to each
other than each of them is to its 30th neighbour. docs/datasets.md compares this rule with a fixed threshold on UTKFace.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NEIGHBOURS = 30
"""Rank of the neighbour, which exceeds the number of photos that most people have; at most a quarter of all photos."""
NEARER = 0.8
"""Two photos show one person if their distance is below this share of the distance to these neighbours (the geometric
mean of both). From 0.82 on, more than half of the pairs are different people, and these form chains."""
LEAST, MOST = 0.2, 0.5
"""A distance below the first is always the same person, and above the second always a different person."""
ROWS = 1024
"""Number of photos that are compared with all others at a time."""


def pairs_of_one_person(vectors: np.ndarray) -> np.ndarray:
    """The pairs of rows of embeddings, float32 (N, 128), that show one person: (pairs, 2), the smaller index first."""
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
    """The distances of ROWS rows at a time to all rows, with the index of the first row."""
    squares = (vectors**2).sum(axis=1)
    for start in range(0, len(vectors), ROWS):
        part = vectors[start : start + ROWS]
        squared = squares[start : start + ROWS, None] + squares[None] - 2 * part @ vectors.T
        yield start, np.sqrt(np.maximum(squared, 0))


def groups_of(pairs: np.ndarray, count: int) -> np.ndarray:
    """The index of the connected component of each of `count` photos, if pairs (pairs, 2) are edges."""
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]

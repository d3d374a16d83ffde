"""Identifies people by their faces (`--recognise`). Photos of one person get the same identity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from scripts.preparation.same_face import groups_of, pairs_of_one_person
from scripts.preparation.sources.collection import Collection
from util.terminal import CountedWork
from util.workers import run_in_processes, usable_cores

BATCH = 4
"""Number of photos that a worker process receives at a time."""


class People(NamedTuple):
    """The identities of all rows, "" if unknown, and the pairs (pairs, 2) of rows that show one person."""

    identity: np.ndarray
    pairs: np.ndarray


def recognise_people(
    table: pd.DataFrame, rows: np.ndarray, collection: Collection, chip_ending: str | None, folder: Path, processes: int
) -> People:
    """Compute the face embeddings of these rows' photos, whose people are unknown, and identify the people.

    chip_ending: ending of the file names of tight face chips. folder: stores the embeddings, so that an interrupted
    preparation can resume. Raises UserError if the recogniser is not installed.
    """
    # Importing torch takes seconds, and other preparations do not need it.
    from faces.recognise import load_recogniser
    from scripts.preparation.recognising import LENGTH, FaceTask, recognise_batch

    load_recogniser()  # fails early if it is not installed
    paths = table["path"].to_numpy()
    with VectorFile(folder / "faces.bin", LENGTH) as kept:

        def tasks() -> Iterator[list[FaceTask]]:
            batch = []
            wanted = {paths[row]: int(row) for row in rows if int(row) not in kept.vectors}
            for row, photo in collection.photos(wanted):
                is_chip = chip_ending is not None and paths[row].lower().endswith(chip_ending)
                batch.append(FaceTask(row, photo, is_chip))
                if len(batch) == BATCH:
                    yield batch
                    batch = []
            if batch:
                yield batch

        with CountedWork("faces", len(rows) - len(kept.vectors), "photos") as progress:
            for row, vector in run_in_processes(recognise_batch, tasks(), min(processes, usable_cores())):
                kept.add(row, vector)
                progress.advance()
        return people_of(table, rows, kept.vectors)


def people_of(table: pd.DataFrame, rows: np.ndarray, vectors: Mapping[int, np.ndarray]) -> People:
    """The identities by the embeddings of these rows. Photos without a face, whose embedding is NaN, are ignored."""
    identity, paths = table["identity"].to_numpy(copy=True), table["path"].to_numpy()
    seen = np.array([row for row in rows if np.isfinite(vectors[int(row)]).all()], dtype=np.int64)
    if len(seen) == 0:
        return People(identity, np.empty((0, 2), dtype=np.int64))
    pairs = pairs_of_one_person(np.array([vectors[int(row)] for row in seen]))
    group = groups_of(pairs, len(seen))
    # A group is named after the alphabetically first of its photos, so its name does not depend on their order.
    first = pd.Series(paths[seen]).groupby(group).transform("min").to_numpy()
    several = np.bincount(group)[group] > 1
    identity[seen[several]] = "face of " + first[several]
    return People(identity, seen[pairs])


class VectorFile:
    """The embeddings computed so far, by row, in a file that stays readable if the process is killed."""

    def __init__(self, path: Path, length: int) -> None:
        self.record = np.dtype([("row", "<i4"), ("vector", "<f4", (length,))])
        content = path.read_bytes() if path.exists() else b""
        records = np.frombuffer(content, self.record, len(content) // self.record.itemsize)
        empty = np.flatnonzero(~records["vector"].any(axis=1))  # left by a power failure
        records = records[: empty[0]] if len(empty) else records
        self.vectors = {int(record["row"]): record["vector"] for record in records}
        self._file = path.open("ab")
        self._file.truncate(len(records) * self.record.itemsize)

    def add(self, row: int, vector: np.ndarray) -> None:
        """Store an embedding, and write it to disk immediately."""
        self.vectors[row] = vector
        self._file.write(np.array([(row, vector)], self.record).tobytes())
        self._file.flush()

    def __enter__(self) -> VectorFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def told(people: People, before: pd.DataFrame, now: pd.DataFrame) -> str:
    """A summary of the identified people. before, now: the plans without and with them."""
    photos, persons = len(np.unique(people.pairs)), len(set(people.identity[people.pairs[:, 0]]))
    (known_before, tested), (known_now, _) = (known_from_training(people.pairs, faces) for faces in (before, now))
    aged_before, aged_now = (len(across(people.pairs, faces, "domain")) for faces in (before, now))
    return (
        f"{photos:,} photos show one of {persons:,} people with several photos ({len(people.pairs):,} pairs of "
        "photos)\n"
        f"test photos of people who are also in training: {known_before:,} of {tested:,} without --recognise, "
        f"{known_now:,} with it\n"
        f"pairs of a young and an old photo of one person: {aged_before:,} without --recognise, {aged_now:,} with it"
    )


def known_from_training(pairs: np.ndarray, faces: pd.DataFrame) -> tuple[int, int]:
    """Number of test photos that are in a pair with a training photo, and number of all test photos, by a plan."""
    tested = ((faces["phase"] == "test") & (faces["reason"] == "")).to_numpy()
    split = across(pairs, faces, "phase")
    return len(np.unique(split[tested[split]])), int(tested.sum())


def across(pairs: np.ndarray, faces: pd.DataFrame, column: str) -> np.ndarray:
    """The pairs of rows that are both candidates in a plan and differ in one of its columns."""
    candidates = (faces["reason"] == "").to_numpy()
    values = faces[column].astype(str).to_numpy()
    return pairs[candidates[pairs].all(axis=1) & (values[pairs[:, 0]] != values[pairs[:, 1]])]

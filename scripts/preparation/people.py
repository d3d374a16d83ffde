"""Who is on the photos of a collection that does not say: `--recognise`. Photos of one person get one identity."""

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
"""Photos that a process is given at a time."""


class People(NamedTuple):
    """The identities of all rows, "" where unknown, and the pairs (pairs, 2) of rows that show one person."""

    identity: np.ndarray
    pairs: np.ndarray


def recognise_people(
    table: pd.DataFrame, rows: np.ndarray, collection: Collection, chip_ending: str | None, folder: Path, processes: int
) -> People:
    """Look at the faces of these rows' photos, those of unknown people, and say who is the same.

    chip_ending: of the names of photos that are cut tightly round the face. folder: keeps what was seen, so that this
    goes on where it was stopped. Raises UserError where the recogniser is not installed.
    """
    # Torch takes seconds to load, and a preparation without this option does without it.
    from faces.recognise import load_recogniser
    from scripts.preparation.recognising import LENGTH, FaceTask, recognise_batch

    load_recogniser()  # or the error, before any work
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
    """The identities that follow from the vectors, by row, of these rows; NaN in the place of a face counts for
    nothing."""
    identity, paths = table["identity"].to_numpy(copy=True), table["path"].to_numpy()
    seen = np.array([row for row in rows if np.isfinite(vectors[int(row)]).all()], dtype=np.int64)
    if len(seen) == 0:
        return People(identity, np.empty((0, 2), dtype=np.int64))
    pairs = pairs_of_one_person(np.array([vectors[int(row)] for row in seen]))
    group = groups_of(pairs, len(seen))
    # A group is called after the first of its photos, so that its name does not depend on their order.
    first = pd.Series(paths[seen]).groupby(group).transform("min").to_numpy()
    several = np.bincount(group)[group] > 1
    identity[seen[several]] = "face of " + first[several]
    return People(identity, seen[pairs])


class VectorFile:
    """The vectors that were made so far, by row, in a file that a kill leaves readable."""

    def __init__(self, path: Path, length: int) -> None:
        self.record = np.dtype([("row", "<i4"), ("vector", "<f4", (length,))])
        content = path.read_bytes() if path.exists() else b""
        records = np.frombuffer(content, self.record, len(content) // self.record.itemsize)
        empty = np.flatnonzero(~records["vector"].any(axis=1))  # as a power failure leaves them
        records = records[: empty[0]] if len(empty) else records
        self.vectors = {int(record["row"]): record["vector"] for record in records}
        self._file = path.open("ab")
        self._file.truncate(len(records) * self.record.itemsize)

    def add(self, row: int, vector: np.ndarray) -> None:
        """Remember a vector, on disk at once."""
        self.vectors[row] = vector
        self._file.write(np.array([(row, vector)], self.record).tobytes())
        self._file.flush()

    def __enter__(self) -> VectorFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def told(people: People, before: pd.DataFrame, now: pd.DataFrame) -> str:
    """What was found, in lines. before, now: the plans without and with these people."""
    photos, persons = len(np.unique(people.pairs)), len(set(people.identity[people.pairs[:, 0]]))
    (known_before, tested), (known_now, _) = (known_from_training(people.pairs, faces) for faces in (before, now))
    aged_before, aged_now = (len(across(people.pairs, faces, "domain")) for faces in (before, now))
    return (
        f"{photos:,} photos show one of {persons:,} people who are on several ({len(people.pairs):,} pairs of photos)\n"
        f"photos to test on whose person is in training, too: {known_before:,} of {tested:,} without this, now "
        f"{known_now:,}\n"
        f"pairs of a young and an old photo of one person: {aged_before:,} without this, now {aged_now:,}"
    )


def known_from_training(pairs: np.ndarray, faces: pd.DataFrame) -> tuple[int, int]:
    """How many photos to test on are in a pair with one to train on, and how many there are, by a plan."""
    tested = ((faces["phase"] == "test") & (faces["reason"] == "")).to_numpy()
    split = across(pairs, faces, "phase")
    return len(np.unique(split[tested[split]])), int(tested.sum())


def across(pairs: np.ndarray, faces: pd.DataFrame, column: str) -> np.ndarray:
    """Those pairs of rows that are both candidates by a plan, and differ in a column of it."""
    candidates = (faces["reason"] == "").to_numpy()
    values = faces[column].astype(str).to_numpy()
    return pairs[candidates[pairs].all(axis=1) & (values[pairs[:, 0]] != values[pairs[:, 1]])]

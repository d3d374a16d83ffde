"""Runs a preparation: metadata, plan, photos, selection, publication."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from scripts.preparation import workspace
from scripts.preparation.page import write_page
from scripts.preparation.people import recognise_people, told
from scripts.preparation.photo import Box, PhotoTask, PhotoWork, prepare_batch, square_around
from scripts.preparation.plan import plan
from scripts.preparation.report import Result, check_not_empty, summary, write_manifest
from scripts.preparation.selection import select
from scripts.preparation.settings import InputOptions, Settings
from scripts.preparation.sources import SOURCES, Source
from scripts.preparation.sources.collection import Collection, TwoFolders, open_collection
from scripts.preparation.sources.folder import read_folder
from scripts.preparation.sources.table import BOX, LANDMARKS
from scripts.preparation.workspace import Outcomes, Workspace
from util.arguments import OptionError, flatten
from util.files import truncated, write_text
from util.photos import describe_left_out
from util.terminal import CountedWork
from util.workers import run_in_processes, usable_cores

VERSION = 1
"""Must be increased if the same settings give a different data set."""
BATCH_PHOTOS, BATCH_BYTES = 8, 2**20
"""Maximum number of photos and bytes in a task of a worker process. They are small so that it can be interrupted
soon."""
ALIGNED_MIN_SIZE = 128
"""Default of --min_size with --align, in pixels. The faces of CelebA's aligned photos have some 149."""
NAME_BYTES = 120
NOT_IN_SETTINGS = ("input", "columns", "young_dir", "old_dir", "output", "overwrite", "processes")
"""Options that do not affect the data set."""


@dataclass(frozen=True)
class Preparation:
    """The state of a preparation before the first photo is read."""

    source: Source
    settings: Settings
    collection: Collection
    table: pd.DataFrame
    faces: pd.DataFrame
    """result of `plan`"""
    names: np.ndarray
    """file name for each row's photo if it is kept"""

    @property
    def folders(self) -> np.ndarray:
        """The folder for each row's photo; only valid for candidates."""
        return (self.faces["phase"].astype(str) + self.faces["domain"].astype(str)).to_numpy(dtype=object)

    @property
    def genders(self) -> np.ndarray:
        """ "female", "male" or None for each row."""
        gender = self.table["gender"].to_numpy(dtype=object)
        gender[pd.isna(gender)] = None
        return gender


def prepare(source_name: str, settings: Settings) -> bool:
    """Prepare the data set described by the settings; returns False if it exists already. Raises UserError.

    If this is interrupted, finished work stays on disk, and a call with the same settings resumes.
    """
    source = SOURCES[source_name]
    collection = open_source(source_name, source, settings)
    print(f"reading the metadata of {source.title}", flush=True)
    if left_out := collection.left_out():
        print(f"note: photos that cannot be read are left out: {describe_left_out(left_out)}", flush=True)
    called = settings.source.called
    table = read_folder(collection, called) if source_name == "folder" else source.read(collection)
    faces = plan(table, settings)
    names = file_names(table["path"], settings.photos.format if settings.photos.mode == "crop" else None)
    preparation = Preparation(source, settings, collection, table, faces, names)
    candidates = int((faces["reason"] == "").sum())
    print(f"{len(table):,} rows, of which {candidates:,} are candidates by their metadata; reading photos", flush=True)
    record = described(source_name, settings, table)
    with workspace.opened(settings.run.output) as work:
        if not workspace.start(work, record, overwrite=settings.run.overwrite):
            return False
        if settings.split.recognise:
            preparation = with_people(preparation, work)
        outcomes = Outcomes(work.folder / "journal.csv", len(table))
        try:
            reasons = look_at_photos(preparation, work, outcomes)
        finally:
            outcomes.close()
        publish(preparation, work, outcomes, reasons, record)
    return True


def with_people(preparation: Preparation, work: Workspace) -> Preparation:
    """The preparation with identities for people with several photos, if the collection has none. Raises UserError."""
    table, faces, settings = preparation.table, preparation.faces, preparation.settings
    rows = np.flatnonzero((faces["reason"] == "") & (table["identity"] == ""))
    ending, processes = preparation.source.chip_ending, settings.run.processes
    people = recognise_people(table, rows, preparation.collection, ending, work.folder, processes)
    table = table.assign(identity=people.identity)
    known = plan(table, settings)
    print(told(people, faces, known), flush=True)
    return replace(preparation, table=table, faces=known)


def open_source(name: str, source: Source, settings: Settings) -> Collection:
    """Open the collection that the options name. Raises UserError if it is missing or the options do not fit it."""
    options: InputOptions = settings.source
    if options.young_dir is not None and options.old_dir is not None:
        if name != "folder":
            raise OptionError(f"--young_dir and --old_dir are for your own photos: use the source folder, not {name}")
        return TwoFolders(options.young_dir, options.old_dir)
    assert options.input is not None  # checked by InputOptions
    if settings.photos.mode == "link" and not options.input.is_dir():
        raise OptionError(f"--mode link: photos in the archive {options.input} cannot be linked; use --mode copy")
    return open_collection(options.input, source.photo_folders)


def described(source_name: str, settings: Settings, table: pd.DataFrame) -> dict[str, Any]:
    """All settings and metadata that determine the data set, as plain values. Equal descriptions give equal sets."""
    options = {name: value for name, value in flatten(settings).items() if name not in NOT_IN_SETTINGS}
    digest = hashlib.sha256()
    for name, column in table.items():
        if column.dtype == object:  # file names are not always valid Unicode
            column = column.map(lambda text: text.encode("utf-8", "backslashreplace").decode())
        digest.update(f"{name}\0".encode() + pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    return {"version": VERSION, "source": source_name, **plain, "rows": len(table), "metadata": digest.hexdigest()[:16]}


def file_names(paths: pd.Series, suffix: str | None) -> np.ndarray:
    """A file name for each path: its own name with `suffix` (None keeps the suffix), plus digits if it is not unique.

    Characters that some systems do not allow in file names are replaced by _.
    """
    stems = [re.sub(r"[^\w.()+,= -]|^[.-]", "_", PurePosixPath(path).stem) for path in paths]
    stems = [truncated(stem, NAME_BYTES) for stem in stems]
    suffixes = [f".{suffix}" if suffix else f".{path.rpartition('.')[2].lower()}" for path in paths]
    lower = pd.Series([stem.lower() for stem in stems], dtype=object)
    for row in np.flatnonzero(lower.duplicated(keep=False).to_numpy()):
        digits = hashlib.sha256(paths.iloc[row].encode("utf-8", "surrogateescape")).hexdigest()[:10]
        stems[row] = f"{stems[row]}-{digits}"
    return np.array([stem + end for stem, end in zip(stems, suffixes, strict=True)], dtype=object)


def look_at_photos(preparation: Preparation, work: Workspace, outcomes: Outcomes) -> np.ndarray:
    """Process photos until all photos to keep have been processed; returns the reason for each row, "" to keep it."""
    faces, limits, genders = preparation.faces, preparation.settings.limits, preparation.genders
    _check_files(preparation, work, outcomes)
    while True:
        reasons = select(faces, genders, outcomes, limits)
        if outcomes.is_done[reasons == ""].all():
            return reasons
        reserve = select(faces, genders, outcomes, limits, reserve=True)
        rows = np.flatnonzero(((reasons == "") | (reserve == "")) & ~outcomes.is_done)
        options = preparation.settings
        processes = min(options.run.processes, usable_cores())
        with CountedWork("photos", len(rows), "photos") as progress:
            for outcome in run_in_processes(prepare_batch, batches(preparation, work, rows), processes):
                outcomes.add(outcome)
                progress.advance()


def _check_files(preparation: Preparation, work: Workspace, outcomes: Outcomes) -> None:
    """Mark photos for processing whose files are missing or incomplete, for example after a power failure."""
    folders, names = preparation.folders, preparation.names
    for row in np.flatnonzero(outcomes.passed):
        path = work.photo_path(folders[row], names[row])
        if not path.is_file() or path.stat().st_size != outcomes.file_size[row]:
            outcomes.forget(np.array([row]))


def batches(preparation: Preparation, work: Workspace, rows: np.ndarray) -> Iterator[tuple[PhotoWork, list[PhotoTask]]]:
    """Tasks for the photos of these rows, a few per batch."""
    settings = preparation.settings
    photos = settings.photos
    min_size = settings.filters.min_size or (ALIGNED_MIN_SIZE if photos.align else preparation.source.min_size)
    filters = settings.filters
    what = PhotoWork(
        photos.mode, photos.size, photos.format, photos.quality, min_size, filters.min_colour, filters.allow_second_face
    )
    folders, names = preparation.folders, preparation.names
    paths = preparation.table["path"].to_numpy()
    boxes = preparation.table[list(BOX)].to_numpy(dtype=np.float64)
    landmarks = preparation.table[list(LANDMARKS)].to_numpy(dtype=np.float64)
    shown = framings(preparation)
    tasks: list[PhotoTask] = []
    size = 0
    for row, photo in preparation.collection.photos({paths[row]: int(row) for row in rows}):
        box = None if photos.margin is None else face_square(boxes[row], photos.margin)
        target = work.photo_path(folders[row], names[row])
        points = tuple(landmarks[row].tolist()) if np.isfinite(landmarks[row]).all() else ()
        tasks.append(PhotoTask(row, photo, target, box, photos.margin is not None, shown[row] == "aligned", points))
        size += len(photo) if isinstance(photo, bytes) else 0
        if len(tasks) >= BATCH_PHOTOS or size >= BATCH_BYTES:
            yield what, tasks
            tasks, size = [], 0
    if tasks:
        yield what, tasks


def framings(preparation: Preparation) -> np.ndarray:
    """The framing of each row's photo: aligned, chip (the central square of photos that are too tight to be aligned),
    box (with --margin), square (the central square), or whole (copied or linked)."""
    photos, paths = preparation.settings.photos, preparation.table["path"].str.lower()
    if not photos.align:
        name = "whole" if photos.mode != "crop" else "square" if photos.margin is None else "box"
        return np.full(len(paths), name, dtype=object)
    ending = preparation.source.chip_ending
    chips = paths.str.endswith(ending).to_numpy(dtype=bool) if ending else np.zeros(len(paths), dtype=bool)
    return np.where(chips, "chip", "aligned").astype(object)


def face_square(face: np.ndarray, margin: float) -> Box | None:
    """The square to crop to, or None if the face box (left, top, right, bottom) is not valid."""
    left, top, right, bottom = face.tolist()
    if not (np.isfinite(face).all() and right - left >= 1 and bottom - top >= 1):
        return None
    return square_around((left, top, right, bottom), margin)


def publish(
    preparation: Preparation, work: Workspace, outcomes: Outcomes, reasons: np.ndarray, settings: dict[str, Any]
) -> None:
    """Remove photos that are not kept, write the reports, and move everything to the output folder."""
    folders, names = preparation.folders, preparation.names
    work.keep_only(folders[reasons == ""], names[reasons == ""])
    result = Result(
        title=preparation.source.title,
        settings=settings,
        table=preparation.table,
        reasons=reasons,
        folders=np.where(reasons == "", folders, ""),
        names=np.where(reasons == "", names, ""),
        order=preparation.faces["order"].to_numpy(),
        person=preparation.faces["person"].to_numpy(),
        genders=preparation.genders,
        framings=framings(preparation),
        outcomes=outcomes,
        refused=dict(preparation.collection.refused),
    )
    write_manifest(work.folder / "manifest.csv", result)
    write_page(work.folder, result)
    write_text(work.folder / workspace.RECORD, json.dumps(result.record(), indent=1))
    work.finish_publishing()
    print(summary(result), flush=True)
    check_not_empty(result, preparation.settings)

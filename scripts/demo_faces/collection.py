"""Writes the folder of PNG files. The same settings give the same bytes, for any number of processes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from util.arguments import option
from util.errors import UserError
from util.files import atomic_path, is_image, write_text
from util.workers import run_in_processes

from .person import Face, sample_person
from .portrait import draw

SPLITS = ("train", "test")
AGES = {"A": (20.0, 30.0), "B": (50.0, 60.0)}
"""Ages in years by domain: A is young, B is old."""
OWNED, DONE, MANIFEST = ".made-by-demo-faces", "demo.json", "manifest.csv"
"""The first file marks folders of this script and is written first; the second is written when all faces are
complete."""

BATCH = 4
"""Number of faces that a worker process receives at a time."""


@dataclass(frozen=True)
class Settings:
    """faces"""

    size: int = option(128, help="width and height of the images", unit="pixels", least=32)
    train: int = option(300, help="number of training faces per domain", least=1)
    test: int = option(40, help="number of test faces per domain", least=1)
    seed: int = option(0, help="random seed", least=0)

    def paths(self) -> list[Path]:
        """The paths of all files, relative to the collection's folder."""
        counts = {"train": self.train, "test": self.test}
        return [
            Path(f"{split}{domain}", f"{index:04d}.png")
            for split in SPLITS
            for domain in AGES
            for index in range(counts[split])
        ]


def write_collection(output: Path, settings: Settings, processes: int, advance: Callable[[], None]) -> bool:
    """Draw the collection; returns False if it is complete already. `advance` is called after each face.

    Raises UserError if `output` contains other images, or cannot be written.
    """
    if is_complete(output, settings):
        return False
    try:
        claim(output)
        paths = settings.paths()
        batches = ((output, settings, paths[first : first + BATCH]) for first in range(0, len(paths), BATCH))
        for _ in run_in_processes(draw_files, batches, processes):
            advance()
        remove_stale(output, settings)
        write_text(output / MANIFEST, manifest(settings))
        write_text(output / DONE, json.dumps(asdict(settings)) + "\n")
    except OSError as error:
        raise UserError(f"--output {output}: {error.strerror or error}") from error
    return True


def is_complete(output: Path, settings: Settings) -> bool:
    """Whether the folder contains this collection and is complete."""
    try:
        drawn = json.loads((output / DONE).read_text()) == asdict(settings)
        return bool(drawn and (output / MANIFEST).is_file())
    except (OSError, ValueError):
        return False


def claim(output: Path) -> None:
    """Mark the folder as a folder of this script. Raises UserError if it contains other images."""
    if not (output / OWNED).exists():
        foreign = next((path for path in output.rglob("*") if is_image(path.name)), None) if output.exists() else None
        if foreign:
            raise UserError(f"--output {output} contains other images ({foreign}); choose an empty folder")
        write_text(output / OWNED, "")
    (output / DONE).unlink(missing_ok=True)


def draw_files(batch: tuple[Path, Settings, list[Path]]) -> list[Path]:
    """Draw a batch of faces; returns their paths."""
    output, settings, paths = batch
    for path in paths:
        draw_file(output, path, settings)
    return paths


def draw_file(output: Path, path: Path, settings: Settings) -> None:
    """Draw one face."""
    face, age = sample(path, settings)
    with atomic_path(output / path) as temporary:
        draw(face, age, settings.size).save(temporary, format="PNG")


def sample(path: Path, settings: Settings) -> tuple[Face, float]:
    """The person in a file, and the age in years. Each file has its own random generator, so it does not depend on the
    number of files."""
    split, domain, index = path.parent.name[:-1], path.parent.name[-1], int(path.stem)
    rng = np.random.default_rng([settings.seed, SPLITS.index(split), list(AGES).index(domain), index])
    face = sample_person(rng)
    return face, rng.uniform(*AGES[domain])


def manifest(settings: Settings) -> str:
    """The manifest.csv of the collection, with the columns that --match and evaluate.py read."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "folder", "file", "age", "gender", "identity"])
    for path in settings.paths():
        face, age = sample(path, settings)
        gender = "female" if face.feminine else "male"
        writer.writerow([path, path.parent.name, path.name, int(age), gender, path.with_suffix("")])
    return text.getvalue()


def remove_stale(output: Path, settings: Settings) -> None:
    """Delete files that a larger collection or a killed process left."""
    wanted = set(settings.paths())
    for split in SPLITS:
        for domain in AGES:
            for path in (output / f"{split}{domain}").iterdir():
                if path.relative_to(output) not in wanted and path.suffix in (".png", ".tmp"):
                    path.unlink()

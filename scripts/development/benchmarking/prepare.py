"""Measure the preparation of data sets: photos per second and core, and memory for 5,000 and 100,000 photos.

--photos is the folder of a wiki collection. The speed is compared, in alternation, with the minimum of any preparation:
decoding, resizing and encoding each photo by Pillow. To measure memory, the collection's photos are hard-linked under
new names until there are enough.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.io import loadmat, savemat

from scripts.development.benchmarking.rounds import columns, in_rotation, ratios
from scripts.preparation.photo import PhotoTask, PhotoWork, prepare_photo
from util.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
SIZE, QUALITY = 256, 95
OBSERVER = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)
"""Runs a command and prints its peak memory in KiB. Linux counts the memory of the process that starts a command as its
own, so this one must be small."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `benchmark.py prepare`."""
    parser.add_argument("--photos", type=Path, required=True, help="folder with wiki.mat and its photos")
    parser.add_argument(
        "--rows", type=int, nargs="*", default=[5_000, 100_000], help="numbers of photos for which memory is measured"
    )
    parser.add_argument("--rounds", type=int, default=5, help="number of turns of each variant")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure speed and memory. Raises UserError if the collection is missing or its preparation fails."""
    if not (arguments.photos / "wiki.mat").is_file():
        raise UserError(f"--photos {arguments.photos} contains no wiki.mat")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        speed = measure_speed(arguments.photos, Path(folder), arguments.rounds)
        memory = [measure_memory(arguments.photos, Path(folder), rows) for rows in arguments.rows]
    return {"speed": speed, "memory": memory}


def measure_speed(photos: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Photos per second of one process, for the preparation and for Pillow alone, on sufficiently large photos."""
    work = PhotoWork("crop", SIZE, "jpg", QUALITY, min_size=180, min_colour=0)
    paths = [path for path in sorted(photos.glob("*/*.jpg")) if min(Image.open(path).size) >= 180][:1000]
    target = folder / "speed.jpg"

    def ours() -> None:
        for number, path in enumerate(paths):
            prepare_photo(work, PhotoTask(number, path, target))

    def plain() -> None:
        for path in paths:
            image = Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
            image.save(target, format="JPEG", quality=QUALITY, subsampling=0)

    seconds = in_rotation({"Pillow alone": plain, "preparation": ours}, torch.device("cpu"), rounds, 1)
    speeds = {name: [len(paths) / each for each in values] for name, values in seconds.items()}
    return {"photos_per_second": speeds, "share": ratios(seconds["Pillow alone"], seconds["preparation"])}


def measure_memory(photos: Path, folder: Path, rows: int) -> dict[str, Any]:
    """Peak memory of the main process while preparing a collection of `rows` photos."""
    source = multiply(photos, folder / f"wiki_{rows}", rows)
    output_folder = str(folder / f"out_{rows}")
    words = ["wiki", "--input", str(source), "--output", output_folder, "--mode", "link"]
    command = [sys.executable, str(ROOT / "scripts" / "prepare_dataset.py"), *words]
    done = subprocess.run([sys.executable, "-c", OBSERVER, *command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"the preparation failed: {done.stdout[-300:]}")
    kept = re.search(r"kept +([\d,]+)", done.stdout)
    return {"photos": rows, "peak_mib": int(done.stdout.split()[-1]) / 1024, "kept": kept[1] if kept else "?"}


def format_table(result: dict[str, Any]) -> str:
    """The result as tables."""
    rows = [["", "photos/s on one core"]]
    for name, values in result["speed"]["photos_per_second"].items():
        rows.append([name, f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})"])
    peaks = [["collection", "peak memory", "kept"]]
    peaks += [[f"{each['photos']:,} photos", f"{each['peak_mib']:.0f} MiB", each["kept"]] for each in result["memory"]]
    share = f"the preparation reaches {result['speed']['share']['median']:.0%} of Pillow's speed"
    return f"{columns(rows)}\n\n{share}\n\n{columns(peaks)}"


def multiply(photos: Path, target: Path, rows: int) -> Path:
    """A collection of `rows` photos: hard links to a copy of `photos`, each with a different person."""
    table = loadmat(photos / "wiki.mat", squeeze_me=True, struct_as_record=False)["wiki"]
    store = target.parent / "store"
    paths: list[str] = []
    for copy in range(-(-rows // len(table.full_path))):
        for path in table.full_path[: rows - len(paths)]:
            folder, name = str(path).split("/")
            original = store / str(path)
            if not original.exists():
                original.parent.mkdir(parents=True, exist_ok=True)
                original.write_bytes((photos / str(path)).read_bytes())
            new = f"{folder}/{copy}{name}"
            (target / folder).mkdir(parents=True, exist_ok=True)
            os.link(original, target / new)
            paths.append(new)
    savemat(target / "wiki.mat", {"wiki": repeated(table, paths)})
    return target


def repeated(table: object, paths: list[str]) -> dict[str, np.ndarray]:
    """The metadata of the rows, repeated, with new paths."""
    choice = np.arange(len(paths)) % len(table.full_path)  # type: ignore[attr-defined]
    fields = {
        name: getattr(table, name)[choice][None]
        for name in ("dob", "photo_taken", "gender", "face_score", "second_face_score")
    }
    full_path = np.empty((1, len(paths)), dtype=object)
    full_path[0] = paths
    return {**fields, "full_path": full_path}

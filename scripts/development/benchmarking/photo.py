"""Measure age_photo.py: the whole command, its stages, and different ways to translate a face."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from aging.aged_photo import age_photo, to_network
from aging.exporting import plain_copy
from aging.generators import Generator, Translate, available_threads, by_torch, find_generators, needed_for
from aging.photo_file import read_photo, write_photo
from aging.pictures import before_and_after
from aging.trained import Trained, run_generators
from faces.align import aligned, alignment_of
from faces.detect import find_faces
from models.fast.speed import SpeedOptions, accelerate
from models.precision import Network
from scripts.development.benchmarking.rounds import columns, in_rotation
from util.device import has_quick_bf16
from util.run.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[3]
PHOTOS = {
    "1 photo of 1 megapixel": (1000, 1000, 1),
    "12 photos of 1 megapixel": (1000, 1000, 12),
    "1 photo of 12 megapixels": (4000, 3000, 1),
}
"""Width and height in pixels, and number of photos."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `benchmark.py photo`."""
    parser.add_argument("--name", default="young2old", help="run with ONNX files of export.py")
    parser.add_argument(
        "--checkpoints_dir", type=Path, default=ROOT / "checkpoints", help="folder that contains all runs"
    )
    parser.add_argument("--photo", type=Path, help="square portrait; default: scikit-image's astronaut")
    parser.add_argument("--rounds", type=int, default=5, help="number of turns")


def run(words: argparse.Namespace) -> dict[str, Any]:
    """Measure the commands, the stages, and the ways to translate a face."""
    torch.set_num_threads(available_threads())
    folder = words.checkpoints_dir / words.name
    generators = find_generators(folder, engine="onnx")
    portrait = read_photo(words.photo or _astronaut()).image
    result: dict[str, Any] = {
        "run": str(words.name),
        "rounds": words.rounds,
        "threads": available_threads(),
        "size": generators["older"].card.size,
        "torch": torch.__version__,
    }
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        result["commands"] = measure_commands(words, portrait, place)
        result["stages"] = measure_stages(portrait, generators, words.rounds, place)
        run_folder = RunFolder(words.checkpoints_dir, words.name)
        result["ways"] = measure_ways(portrait, generators["older"], run_folder, words.rounds)
    return result


def _astronaut() -> Path:
    import skimage

    return Path(skimage.__file__).parent / "data" / "astronaut.png"


def _photo_of(portrait: Image.Image, width: int, height: int) -> Image.Image:
    """A grey photo with the portrait in its middle, as high as the photo."""
    photo = Image.new("RGB", (width, height), "grey")
    photo.paste(portrait.resize((height, height), Image.Resampling.BICUBIC), ((width - height) // 2, 0))
    return photo


def measure_commands(words: argparse.Namespace, portrait: Image.Image, place: Path) -> dict[str, Any]:
    """Wall-clock and CPU seconds of whole commands with each engine."""
    source = ["--name", words.name, "--checkpoints_dir", str(words.checkpoints_dir), "--output", str(place / "out")]
    jobs: dict[str, list[str]] = {"start-up alone (--help)": ["age_photo.py", "--help"]}
    for title, (width, height, number) in PHOTOS.items():
        photos = [place / f"{width}x{height}_{index}.jpg" for index in range(number)]
        for path in photos:
            _photo_of(portrait, width, height).save(path, quality=92)
        jobs[title] = ["age_photo.py", *map(str, photos), *source, "--engine", "onnx"]
        if number == 1:
            jobs[f"{title}, PyTorch"] = ["age_photo.py", *map(str, photos), *source, "--engine", "torch"]
    measured: dict[str, list[tuple[float, float]]] = {title: [] for title in jobs}
    for _ in range(words.rounds):
        for title, command in jobs.items():
            measured[title].append(_run([sys.executable, *command]))
    return {
        title: {"seconds": median(wall for wall, _ in values), "processor_seconds": median(own for _, own in values)}
        for title, values in measured.items()
    }


def _run(command: list[str]) -> tuple[float, float]:
    """Wall-clock seconds and CPU seconds of a command."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_stages(
    portrait: Image.Image, generators: Mapping[str, Generator], rounds: int, place: Path
) -> dict[str, Any]:
    """CPU seconds of each stage for one photo, without start-up."""
    stages: dict[str, dict[str, float]] = {}
    for title, (width, height, number) in PHOTOS.items():
        if number == 1:
            path = place / f"{width}x{height}_0.jpg"
            laps = [_stages(path, needed_for(1.0, generators), place / "out.jpg") for _ in range(rounds + 1)][1:]
            stages[title] = {stage: median(lap[stage] for lap in laps) for stage in laps[0]}
    return stages


def _stages(path: Path, generators: Mapping[str, Generator], target: Path) -> dict[str, float]:
    laps: dict[str, float] = {}

    def lap(stage: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        made = work()
        laps[stage] = time.process_time() - started
        return made

    photo = lap("read the photo", lambda: read_photo(path))
    faces = lap("detect the face", lambda: find_faces(photo.image))
    aged = lap("detect, align and translate", lambda: age_photo(photo.image, generators))
    laps["align and translate"] = max(0.0, laps.pop("detect, align and translate") - laps["detect the face"])
    pixels = lap("add the change", lambda: aged.at(1.0))
    lap("write the photo", lambda: write_photo(target, pixels, photo))
    lap("write the comparison", lambda: before_and_after(aged, 1.0))
    assert len(faces) == len(aged.faces) == 1
    return laps


def measure_ways(portrait: Image.Image, exported: Generator, run: RunFolder, rounds: int) -> dict[str, Any]:
    """Faces per CPU second for each way to translate a face, and the differences between their outputs."""
    trained = run_generators(run)["older"]
    face = aligned(portrait, alignment_of(find_faces(portrait)[0].landmarks, exported.card.size))
    images = to_network(np.asarray(face), exported.card)
    ways = {"PyTorch, float32": _by_torch(trained), "custom kernels, float32": _by_torch(trained, "float32")}
    if has_quick_bf16(torch.device("cpu")):
        ways |= {
            "PyTorch, bf16": _by_torch(trained, "bf16", kernels=False),
            "custom kernels, bf16": _by_torch(trained, "bf16"),
        }
    ways["onnxruntime, float32"] = exported.translate
    expected = ways["PyTorch, float32"](images)
    calls = {name: (lambda way=way: way(images)) for name, way in ways.items()}
    for call in calls.values():
        call()
    seconds = in_rotation(calls, torch.device("cpu"), rounds, 5, clock=time.process_time)
    return {
        name: {
            "faces_per_second": 5 / median(seconds[name]),
            "mean_difference_of_255": float(np.abs(way(images) - expected).mean()) * 127.5,
        }
        for name, way in ways.items()
    }


def _by_torch(trained: Trained, precision: str = "", kernels: bool = True) -> Translate:
    network = plain_copy(trained, half=False).network
    if precision and isinstance(network, Network):
        speedups = SpeedOptions().speedups if kernels else ()
        options = SpeedOptions(precision=precision, speedups=speedups)
        accelerate(network, options.resolve(torch.device("cpu"), training=False))
    return by_torch(network)


def format_table(result: dict[str, Any]) -> str:
    """The result as tables."""
    rows = [["command", "seconds", "CPU seconds"]]
    rows += [
        [name, f"{way['seconds']:.2f}", f"{way['processor_seconds']:.2f}"] for name, way in result["commands"].items()
    ]
    photos = list(result["stages"])
    stages = [["stage, CPU milliseconds", *photos]]
    stages += [
        [stage, *(f"{1000 * result['stages'][photo][stage]:.0f}" for photo in photos)]
        for stage in result["stages"][photos[0]]
    ]
    ways = [["way", "faces per CPU second", "differs by (of 255)"]]
    ways += [
        [name, f"{way['faces_per_second']:.1f}", f"{way['mean_difference_of_255']:.3f}"]
        for name, way in result["ways"].items()
    ]
    head = (
        f"run {result['run']}, {result['size']} px, {result['threads']} threads, torch {result['torch']}, "
        f"{result['rounds']} rounds"
    )
    return "\n\n".join([head, columns(rows), columns(stages), columns(ways)])

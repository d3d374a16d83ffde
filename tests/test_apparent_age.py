"""Selection of training photos by the age that people seem to have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from processes import run, tree

from data.manifest import is_aligned, manifest_rows
from models.age_estimator import AgeEstimator, EstimatorShape, load_estimator, save_estimator
from util.images import image_to_tensor


def prepared(root: Path) -> dict[str, list[str]]:
    """A prepared data set of noise, with four photos in each folder."""
    rng, names = np.random.default_rng(0), {}
    rows = ["path,folder,file,gender", "left_out.jpg,,,male"]
    for folder in ("trainA", "trainB", "testA", "testB"):
        (root / folder).mkdir(parents=True)
        names[folder] = [f"{folder}{number}.png" for number in range(4)]
        for name in names[folder]:
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / folder / name)
            rows.append(f"raw/{name},{folder},{name},female")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    (root / "dataset.json").write_text(json.dumps({"settings": {"align": True}}))
    return names


def test_training_photos_are_kept_by_their_apparent_age_and_test_photos_all(tmp_path: Path) -> None:
    source, target, path = tmp_path / "all", tmp_path / "apparent", tmp_path / "estimator.safetensors"
    names = prepared(source)
    torch.manual_seed(0)
    save_estimator(AgeEstimator(EstimatorShape("small", 32)), path)
    estimator = load_estimator(path, torch.device("cpu"))

    def ages(folder: str) -> dict[str, float]:
        photos = {name: image_to_tensor(Image.open(source / folder / name)) for name in names[folder]}
        return {name: estimator(photo[None]).ages.item() for name, photo in photos.items()}

    young, old = ages("trainA"), ages("trainB")
    limits = ["--young", sorted(young.values())[1] + 1e-4, "--old", sorted(old.values())[1] - 1e-4]
    words = ["scripts/select_by_apparent_age.py", "--dataroot", source, "--estimator", path, "--output"]
    run(*words, target, *limits)
    kept = {folder: sorted(file.name for file in (target / folder).iterdir()) for folder in names}
    assert kept["trainA"] == sorted(sorted(young, key=lambda name: young[name])[:2])
    assert kept["trainB"] == sorted(sorted(old, key=lambda name: old[name])[1:])
    assert kept["testA"] == names["testA"] and kept["testB"] == names["testB"]
    listed = {row["file"] for row in manifest_rows(target / "manifest.csv", ["file", "gender"])}
    assert listed == {name for files in kept.values() for name in files} and is_aligned(target)

    before = tree(target)
    assert "exists" in run(*words, target, *limits, status=2)
    assert "no photo" in run(*words, tmp_path / "none", "--young", 99, "--old", 101, status=2)
    assert tree(target) == before and not (tmp_path / "none").exists()

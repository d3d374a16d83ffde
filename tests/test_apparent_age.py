"""Selection of training photos by the age that people seem to have."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from processes import ENVIRONMENT, ROOT, TINY, run, tree

from data.manifest import is_aligned, manifest_rows
from models.age_estimator import AgeEstimator, Estimates, EstimatorShape, load_estimator, save_estimator
from scripts.select_by_apparent_age import SelectionOptions
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
    oldest = sorted(old.values())[1] - 1e-4
    limits = ["--young", sorted(young.values())[1] + 1e-4, "--old", oldest, "--old_women", oldest]
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
    assert "no photo" in run(*words, tmp_path / "none", "--young", 99, "--old", 101, "--old_women", 101, status=2)
    assert tree(target) == before and not (tmp_path / "none").exists()


def test_old_photos_can_be_chosen_by_name(tmp_path: Path) -> None:
    source, listed, estimator = tmp_path / "all", tmp_path / "grey.txt", tmp_path / "estimator.safetensors"
    prepared(source)
    torch.manual_seed(0)
    save_estimator(AgeEstimator(EstimatorShape("small", 32)), estimator)
    words = ["scripts/select_by_apparent_age.py", "--dataroot", source, "--estimator", estimator, "--young", 99]
    words += ["--old_photos", listed]
    assert f"--old_photos {listed}" in run(*words, "--output", tmp_path / "none", status=2), "there is no list yet"
    listed.write_text("# grey hair\ntrainB2.jpg\ntrainB0\n\nnot_in_this_set\n")
    run(*words, "--output", tmp_path / "chosen")
    assert sorted(file.name for file in (tmp_path / "chosen/trainB").iterdir()) == ["trainB0.png", "trainB2.png"]
    assert len(list((tmp_path / "chosen/trainA").iterdir())) == 4
    listed.write_text("other\n")
    assert "--old_photos" in run(*words, "--output", tmp_path / "none", status=2), "no photo is left"


def test_women_and_men_have_limits_of_their_own() -> None:
    options = SelectionOptions(output=Path("nowhere"), young=28.0, old=53.0, old_women=50.0)

    def face(age: float, male: float) -> Estimates:
        return Estimates(torch.tensor([age]), torch.tensor([male]), torch.zeros(1, 1))

    assert options.looks_old(face(51, male=0.2)) and not options.looks_old(face(51, male=0.8))
    assert options.looks_old(face(54, male=0.8)) and not options.looks_old(face(49, male=0.2))
    assert options.looks_young(face(28, male=0.2)) and not options.looks_young(face(29, male=0.8))


@pytest.mark.slow
@pytest.mark.parametrize("collections", [["photos"], ["photos", "chips"]])
def test_the_trainings_of_the_shipped_model_run_and_go_on_after_an_interruption(
    collections: list[str], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    for name in collections:
        prepared(tmp_path / name)
        shutil.copytree(tmp_path / name, tmp_path / f"{name}_apparent")
    shutil.copytree(tmp_path / "photos", tmp_path / "photos_grey")  # random faces would look too old or young
    photos = ",".join(str(tmp_path / name) for name in collections)
    words = [f"{ROOT}/scripts/train_best.sh", photos, "mine", *TINY.split(), "--n_layers_D", "2", "--warm_up_D", "1"]
    words += "--features_size 32 --features_smallest 24 --coarse_size 24 --n_epochs 1 --max_dataset_size 2".split()
    environment = ENVIRONMENT | {"PYTHON": sys.executable, "CHECKPOINTS": str(models)}

    def trainings() -> str:
        done = subprocess.run(list(map(str, words)), env=environment, check=True, capture_output=True, text=True)
        return done.stdout

    assert trainings().count("training finished") == 2
    options = {name: json.loads((models / name / "opt.json").read_text()) for name in ("mine_start", "mine")}
    assert [each["preset"] for each in options.values()] == ["fast128", "best"]
    assert [each["fade"] for each in options.values()] == [0, 0.1], "the first run's value is not kept"
    assert [each["init_from"] for each in options.values()] == ["", "mine_start"]
    assert [Path(each["dataroot"]).name for each in options.values()] == ["photos", "photos_joined"]
    record = json.loads((tmp_path / "photos_joined" / "dataset.json").read_text())
    assert len(record["settings"]["joined"]) == 1 + len(collections)
    shutil.rmtree(models / "mine")
    assert "mine_start" in trainings() and (models / "mine" / "latest_net_G_B.pth").exists()

"""A CycleGAN in small learns the demo's faces: it reconstructs them, and moves them towards the other age."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import ROOT, run

from scripts.demo_faces.person import sample_person
from scripts.demo_faces.portrait import draw

SIZE = 32


class AgeScale:
    """A linear measure of age, -1 at the young and 1 at the old, fitted to faces that no network here has seen.

    It sees pixels and vertical differences (wrinkles). An untouched face of the young scores as the young do: what does
    nothing moves nothing.
    """

    def __init__(self, faces_each: int = 250) -> None:
        young, old = (self._draw(ages, faces_each, seed) for ages, seed in (((20, 30), 11), ((50, 60), 12)))
        features = self._features(np.concatenate([young, old]))
        self.mean, self.scale = features.mean(0), features.std(0) + 1e-6
        features = (features - self.mean) / self.scale
        labels = np.repeat([-1.0, 1.0], faces_each)
        damped = features @ features.T + 3 * features.shape[1] * np.eye(len(labels))
        self.weights = features.T @ np.linalg.solve(damped, labels)

    @staticmethod
    def _draw(ages: tuple[float, float], count: int, seed: int) -> np.ndarray:
        rngs = [np.random.default_rng([seed, number]) for number in range(count)]
        faces = [draw(sample_person(rng), rng.uniform(*ages), 72).resize((SIZE, SIZE), 3) for rng in rngs]
        return np.stack([np.asarray(face) for face in faces])

    @staticmethod
    def _features(faces: np.ndarray) -> np.ndarray:
        values = faces.astype(float) / 127.5 - 1
        edges = 2 * np.abs(np.diff(values, axis=1))
        return np.concatenate([values.reshape(len(faces), -1), edges.reshape(len(faces), -1)], axis=1)

    def __call__(self, faces: np.ndarray) -> float:
        """The mean score of uint8 faces (N, SIZE, SIZE, 3)."""
        return float((((self._features(faces) - self.mean) / self.scale) @ self.weights).mean())


def results(folder: Path, label: str) -> np.ndarray:
    return np.stack(
        [np.asarray(Image.open(path).resize((SIZE, SIZE), 3)) for path in sorted(folder.glob(f"*_{label}.png"))]
    )


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    run("scripts/make_demo_faces.py", "--output", folder, "--size", "64", "--train", "80", "--test", "40")
    return folder


def assert_moved(images: Path) -> None:
    """Translated faces lie nearer to the other age's, by a measure on which doing nothing moves nothing."""
    age = AgeScale()
    young, old = age(results(images, "real_A")), age(results(images, "real_B"))
    aged, made_younger = age(results(images, "fake_B")), age(results(images, "fake_A"))
    print(f"young {young:.2f}, old {old:.2f}; aged {aged:.2f}, made younger {made_younger:.2f}")
    assert old - young > 0.5, "the measure tells unseen real faces apart"
    assert aged > young + 0.35 * (old - young)
    assert made_younger < old - 0.2 * (old - young)


def demo_words() -> list[str]:
    """What the Makefile trains the demo with."""
    makefile = (ROOT / "Makefile").read_text()
    setting = makefile[makefile.index("DEMO_TRAINING := ") :].split("\n\n")[0]
    return setting.removeprefix("DEMO_TRAINING := ").replace("\\\n", " ").split()


@pytest.mark.slow
def test_the_demo_ages_its_faces(tmp_path: Path) -> None:
    run("scripts/make_demo_faces.py", "--output", tmp_path / "faces")
    words = ["--dataroot", tmp_path / "faces", "--checkpoints_dir", tmp_path, "--no_visdom", *demo_words()]
    run("train.py", *words, seconds=3600)
    run("test.py", *words[:4], "--results_dir", tmp_path)
    images = tmp_path / "experiment_name" / "latest_test" / "images"
    assert_moved(images)


def test_training_halves_the_cycle_loss_and_moves_faces_towards_the_other_age(faces: Path, tmp_path: Path) -> None:
    words = (
        "--load_size 36 --crop_size 32 --netG resnet_2blocks --ngf 16 --ndf 8 --batch_size 2 --lr 0.0005 --gpu_ids -1"
    )
    words += " --n_epochs 10 --n_epochs_decay 10 --print_freq 2 --no_visdom --no_html --num_threads 0"
    run("train.py", "--dataroot", faces, "--checkpoints_dir", tmp_path, *words.split(), seconds=420)
    rows = list(csv.DictReader((tmp_path / "experiment_name" / "loss_log.csv").open()))
    cycle = [float(row["cycle_A"]) + float(row["cycle_B"]) for row in rows]
    print(f"cycle loss {np.mean(cycle[:2]):.2f} -> {np.mean(cycle[-80:]):.2f}")
    assert np.mean(cycle[-80:]) < 0.5 * np.mean(cycle[:2])

    run("test.py", "--dataroot", faces, "--checkpoints_dir", tmp_path, "--results_dir", tmp_path, "--gpu_ids", "-1")
    images = tmp_path / "experiment_name" / "latest_test" / "images"
    assert_moved(images)

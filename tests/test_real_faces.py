"""Real photos, where a sample of IMDB-WIKI is at hand: $WIKI_FACES, or shared/wiki_faces beside the project."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import ROOT, TINY, run
from scipy.io import loadmat

from util.photos import read_image

FOLDER = Path(os.environ.get("WIKI_FACES", ROOT.parent / "shared" / "wiki_faces")) / "wiki_crop"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs a sample of IMDB-WIKI at {FOLDER}")


def photos() -> list[tuple[Path, int]]:
    """The first 400 photos, with the age in years."""
    table = loadmat(FOLDER / "wiki.mat", squeeze_me=True, struct_as_record=False)["wiki"]
    birth_years = table.dob / 365.2425  # MATLAB counts days from year 0
    ages = (table.photo_taken - np.floor(birth_years)).astype(int)
    return [(FOLDER / str(path), int(age)) for path, age in zip(table.full_path[:400], ages[:400], strict=True)]


def test_every_photo_is_read_as_rgb_grey_ones_too() -> None:
    modes = set()
    for path, _ in photos():
        with Image.open(path) as stored:
            modes.add(stored.mode)
            size = stored.size
        image = read_image(path)
        assert image.mode == "RGB" and image.size == size
    assert modes == {"L", "RGB"}, "the sample should hold grey photos"


def test_training_and_testing_on_real_faces(tmp_path: Path) -> None:
    domains = {
        "A": [path for path, age in photos() if 20 <= age <= 29],
        "B": [p for p, age in photos() if 50 <= age <= 59],
    }
    for phase, part in (("train", slice(0, 12)), ("test", slice(12, 16))):
        for domain, paths in domains.items():
            folder = tmp_path / "faces" / f"{phase}{domain}"
            folder.mkdir(parents=True)
            for path in paths[part]:
                (folder / path.name).symlink_to(path)
    words = ["--dataroot", tmp_path / "faces", "--checkpoints_dir", tmp_path]
    run("train.py", *words, *TINY.split(), "--n_epochs", "1", "--n_epochs_decay", "1", "--print_freq", "4")
    rows = list(csv.DictReader((tmp_path / "experiment_name" / "loss_log.csv").open()))
    assert len(rows) == 6 and all(np.isfinite(float(row["cycle_A"])) for row in rows)
    run("test.py", *words, "--results_dir", tmp_path / "results", "--gpu_ids", "-1")
    images = tmp_path / "results" / "experiment_name" / "latest_test" / "images"
    assert len(list(images.iterdir())) == 2 * 4 * 3
    assert {f"{path.stem}_fake_B.png" for path in domains["A"][12:16]} <= {path.name for path in images.iterdir()}

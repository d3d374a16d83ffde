"""Real photos, where a sample of IMDB-WIKI is at hand: $WIKI_FACES, or shared/wiki_faces beside the project."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from processes import ROOT, TINY, run
from raw_collections import encode
from scipy.io import loadmat

from scripts.preparation.photo import CHECKED, colourfulness, crop_to, middle_square, perceptual_hash
from util.files import sha256_of
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


def rows_of_table(text: str, heading: str) -> dict[str, list[str]]:
    """The rows below a table's heading in a Markdown text: the first cell, and the others."""
    lines = text[text.index(heading) :].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in takewhile(lambda x: x[:1] == "|", lines)]
    return {first: others for first, *others in cells}


def test_the_defaults_keep_what_the_documentation_says(tmp_path: Path) -> None:
    run("scripts/prepare_dataset.py", "wiki", "--input", FOLDER.parent, "--output", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "dataset.json").read_text())
    documentation = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    reasons = {reason: [f"{count:,}"] for reason, count in record["reasons"].items()}
    assert rows_of_table(documentation, "| reason | rows |") == reasons
    folders = {name: [f"{count:,}" for count in counts.values()] for name, counts in record["folders"].items()}
    assert rows_of_table(documentation, "| folder | photos |") == folders
    with (tmp_path / "out" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        kept = [row for row in csv.DictReader(file) if row["reason"] == "kept"]
    sides: dict[str, set[str]] = {}
    for row in kept:
        sides.setdefault(row["identity"], set()).add(row["folder"])
    assert all(len(side) == 1 for side in sides.values())
    made = {f"{row['folder']}/{row['file']}" for row in kept}
    assert made == {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("t*/*.jpg")}


@pytest.mark.slow
def test_an_estimator_learns_of_real_faces_and_measures_translations(tmp_path: Path) -> None:
    """That all parts fit: in seconds, it learns little."""
    faces, estimator = tmp_path / "faces", tmp_path / "ages.pth"
    run(
        "scripts/prepare_dataset.py",
        "wiki",
        "--input",
        FOLDER.parent,
        "--output",
        faces,
        *"--size 64 --max_per_class 120".split(),
    )
    run(
        "scripts/train_age_estimator.py",
        "--dataroot",
        faces,
        "--output",
        estimator,
        *"--size 32 --epochs 2 --gpu_ids -1".split(),
    )
    words = ["--dataroot", faces, "--checkpoints_dir", tmp_path]
    run(
        "train.py",
        *words,
        *TINY.split(),
        *"--n_epochs 1 --n_epochs_decay 0 --max_dataset_size 8 --eval_freq 1 --eval_faces 4".split(),
        "--age_estimator",
        estimator,
    )
    run("evaluate.py", *words, "--results_dir", tmp_path, "--gpu_ids", "-1", "--age_estimator", estimator)
    record = json.loads((tmp_path / "experiment_name" / "latest_test" / "evaluation" / "metrics.json").read_text())
    with (faces / "manifest.csv").open(encoding="utf-8", newline="") as file:
        tested = [row for row in csv.DictReader(file) if row["folder"] == "testA"]
    with (tmp_path / "experiment_name" / "latest_test" / "evaluation" / "metrics.csv").open(newline="") as file:
        rows = {(row["direction"], row["group"], row["images"], row["metric"]): row for row in csv.DictReader(file)}
    of_real = rows["AtoB", "all", "target", "true_gain"]
    assert 20 < float(of_real["value"]) < 40 and int(rows["AtoB", "all", "translated", "gain_mean"]["n"]) == len(tested)
    assert record["files"][0]["sha256"] == sha256_of(estimator)


def small(image: Image.Image) -> np.ndarray:
    box = middle_square(*image.size)
    return np.asarray(crop_to(image, box, CHECKED, Image.Resampling.BOX), dtype=np.float32)


def hash_bits(image: Image.Image) -> np.ndarray:
    return np.unpackbits(np.frombuffer(perceptual_hash(small(image)), dtype=np.uint8))


@pytest.mark.slow
def test_colour_and_likeness_are_as_the_documentation_says() -> None:
    """Repeats the figures in docs/datasets.md; -s prints them."""
    paths = sorted(FOLDER.glob("*/*.jpg"))
    images = [read_image(path) for path in paths]
    colours = np.array([colourfulness(small(image)) for image in images])
    grey = [Image.open(path).mode == "L" for path in paths]
    print(f"one channel: {sum(grey)}; no colour: {(colours < 0.1).sum()}; below 4.5: {(colours < 4.5).sum()}")
    assert colours[grey].max() < 0.1 and (colours < 4.5).mean() < 0.13

    def distances(copy: Callable[[Image.Image], Image.Image]) -> np.ndarray:
        return np.array([(hash_bits(image) != hash_bits(copy(image))).sum() for image in images[::10]])

    def compressed(image: Image.Image) -> Image.Image:
        return Image.open(io.BytesIO(encode(image, quality=30)))

    copies = {
        "half the size": distances(lambda i: i.resize((i.width // 2, i.height // 2), Image.Resampling.LANCZOS)),
        "JPEG of quality 30": distances(compressed),
        "contrast 1.3": distances(lambda image: ImageEnhance.Contrast(image).enhance(1.3)),
        "2 % cropped": distances(lambda i: i.crop((int(0.02 * i.width), int(0.02 * i.height), *i.size))),
    }
    for name, bits in copies.items():
        print(f"{name}: median {np.median(bits):.0f} bits, {np.mean(bits <= 20):.1%} of {len(bits)} within 20")
        assert name == "2 % cropped" or np.mean(bits <= 20) > 0.97
    bits = np.stack([hash_bits(image) for image in images]).astype(np.float32)
    ones = bits.sum(axis=1)
    apart = ones[:, None] + ones[None] - 2 * bits @ bits.T
    nearest = apart[np.triu_indices(len(bits), 1)].min()
    print(f"the nearest of {len(bits) * (len(bits) - 1) // 2:,} pairs: {nearest:.0f} bits")
    assert nearest > 40

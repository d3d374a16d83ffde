"""The model that comes with the project: complete, usable without an option, and really ageing faces."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from processes import ROOT

from aging.aged_photo import age_photo
from aging.generators import find_generators
from faces.align import aligned
from models.age_estimator import DEFAULT_PATH, load_estimator
from options import parse_test_options
from options.presets import PRESETS
from util.photos import read_image

FOLDER = ROOT / "checkpoints" / "young2old"
WIKI = Path(os.environ.get("WIKI_FACES", ROOT.parent / "shared" / "wiki_faces")) / "wiki_crop"


def seen_ages(images: list[np.ndarray]) -> np.ndarray:
    """What the shipped estimator, which the model was not trained against, sees in aligned faces (S, S, 3)."""
    estimator = load_estimator(ROOT / DEFAULT_PATH, torch.device("cpu"))
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return estimator(batch).ages.detach().numpy()


def years_gained(photos: list[Image.Image], direction: str) -> np.ndarray:
    """By how many years the largest face of each photo is aged, or made younger."""
    generators = {name: one for name, one in find_generators(FOLDER).items() if name == direction}
    faces = [age_photo(photo, generators).faces[0] for photo in photos]
    sign = 1 if direction == "older" else -1
    before = [np.asarray(aligned(photo, face.alignment)) for photo, face in zip(photos, faces, strict=True)]
    after = [
        np.clip(image + face.change(sign), 0, 255).astype(np.uint8) for image, face in zip(before, faces, strict=True)
    ]
    return sign * (seen_ages(after) - seen_ages(before))


def test_the_model_is_complete_and_names_no_path_of_a_machine() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 50e6
    saved = json.loads((FOLDER / "opt.json").read_text())
    assert saved["preset"] == "best"
    assert not [value for value in saved.values() if isinstance(value, str) and value.startswith(("/", "~"))]
    typed = {"match": "gender,race"}  # by scripts/train_best.sh
    for name, value in (PRESETS["best"] | typed).items():
        assert saved[name] == value, name


def test_test_py_takes_it_without_a_name() -> None:
    options = parse_test_options(["--dataroot", "faces", "--checkpoints_dir", str(ROOT / "checkpoints")])
    assert options.run.name == "young2old" and options.model.generator.residual


def test_a_portrait_looks_older_and_younger() -> None:
    data = pytest.importorskip("skimage.data")
    portrait = Image.fromarray(data.astronaut())
    assert years_gained([portrait], "older")[0] > 5
    assert years_gained([portrait], "younger")[0] > 1  # the estimator sees her as 26, so there is little to lose


def test_the_hair_of_a_portrait_turns_grey_and_that_of_younger_faces_does_not() -> None:
    data = pytest.importorskip("skimage.data")
    aged = age_photo(Image.fromarray(data.astronaut()), find_generators(FOLDER))
    fringe = (slice(62, 80), slice(200, 250))
    saturation = {strength: np.ptp(aged.at(strength)[fringe].astype(int), axis=-1).mean() for strength in (-1, 0, 1)}
    assert saturation[1] < 0.5 * saturation[0] < saturation[-1]


@pytest.mark.skipif(not WIKI.is_dir(), reason=f"needs a sample of IMDB-WIKI at {WIKI}")
def test_real_faces_gain_and_lose_years() -> None:
    for direction, (youngest, oldest) in {"older": (20, 29), "younger": (50, 59)}.items():
        paths = [
            path
            for path in sorted(WIKI.rglob("*.jpg"))
            if youngest <= int(path.stem.split("_")[2]) - int(path.stem.split("_")[1][:4]) <= oldest
            and min(Image.open(path).size) >= 300
        ]
        gained = years_gained([read_image(path) for path in paths[:8]], direction)
        print(f"{direction}: {gained.mean():.1f} years")
        assert gained.mean() > 10

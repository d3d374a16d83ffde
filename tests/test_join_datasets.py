"""Data sets joined to one, with a share of each."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from processes import run

from data.manifest import is_aligned

COLUMNS = ["path", "folder", "file", "age", "gender", "race", "identity"]


def prepared(root: Path, groups: dict[tuple[str, str, str], int], align: bool = False) -> Path:
    """A prepared data set, given the number of photos by folder, gender and race. A photo's content is its name."""
    rows = [["left_out.jpg", "", "", "33", "male", "", ""]]
    for (folder, gender, race), count in groups.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            name = f"{folder}_{gender}_{race}_{number}.jpg"
            (root / folder / name).write_text(f"{root.name}/{name}")
            rows.append([name, folder, name, "25", gender, race, str(number)])
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    (root / "dataset.json").write_text(json.dumps({"settings": {"align": align}}))
    return root


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Without races, and twice as many men as women among the old."""
    women, men = ("female", ""), ("male", "")
    counts = {("trainA", *women): 30, ("trainA", *men): 30, ("trainB", *women): 5, ("trainB", *men): 10}
    return prepared(tmp_path / "first", counts | {("testA", *women): 2, ("testB", *men): 1}, align=True)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Mostly Asian women among the young and white men among the old; Indian men only among the young."""
    asian, white, indian = ("female", "asian"), ("male", "white"), ("male", "indian")
    counts = {("trainA", *asian): 30, ("trainA", *white): 10, ("trainB", *asian): 1, ("trainB", *white): 9}
    return prepared(tmp_path / "second", counts | {("trainA", *indian): 50, ("testA", *asian): 3, ("testB", *asian): 3})


def content(root: Path, folder: str) -> Counter[str]:
    """The set, gender and race of each photo, read from the files."""
    texts = [file.read_text() for file in (root / folder).iterdir()]
    return Counter(f"{text.split('/')[0]} {' '.join(text.split('_')[1:3])}".strip() for text in texts)


def test_both_folders_have_the_shares_of_sets_and_of_groups(first: Path, second: Path, tmp_path: Path) -> None:
    target = tmp_path / "joined"
    words = ["--dataroot", f"{first},{second}", "--shares", "3,1", "--photos", "80", "--most_copies", "15"]
    printed = run("scripts/join_datasets.py", *words, "--output", target)
    expected = {
        "first female": 25,  # three quarters of 80 photos, and the mean of a half and a third of those
        "first male": 35,
        "second female asian": 8,  # a quarter, and the mean of three quarters and a tenth: 8.5, an even number
        "second male white": 12,
    }
    assert content(target, "trainA") == content(target, "trainB") == expected
    assert content(target, "testA") == {"first female": 2} and content(target, "testB") == {"first male": 1}
    assert "80 photos in trainA, 80 photos in trainB, 2 photos in testA, 1 photos in testB" in printed
    copies = Counter(file.read_text() for file in (target / "trainB").iterdir() if "male_white" in file.name)
    assert set(copies.values()) == {1, 2}, "no photo is repeated before all have been used"
    assert is_aligned(target)


def test_the_manifest_describes_each_photo_so_that_it_can_be_matched(first: Path, second: Path, tmp_path: Path) -> None:
    target = tmp_path / "joined"
    run("scripts/join_datasets.py", "--dataroot", f"{first},{second}", "--photos", "40", "--output", target)
    with (target / "manifest.csv").open() as file:
        rows = {(row["folder"], row["file"]): row for row in csv.DictReader(file)}
    assert set(rows) == {(file.parent.name, file.name) for file in target.glob("*/*.jpg")}
    for (folder, name), row in rows.items():
        gender, race = (target / folder / name).read_text().split("_")[1:3]
        assert (row["gender"], row["race"], row["age"]) == (gender, race or "unrecorded", "25")


def test_a_small_group_is_not_repeated_more_often_than_allowed(first: Path, second: Path, tmp_path: Path) -> None:
    words = ["--dataroot", f"{first},{second}", "--photos", "80", "--most_copies", "4", "--output", tmp_path / "joined"]
    run("scripts/join_datasets.py", *words)
    for folder in ("trainA", "trainB"):
        assert content(tmp_path / "joined", folder)["second female asian"] == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataroot", "first"], "at least two data sets"),
        (["--dataroot", "first,second", "--shares", "3"], "--shares needs 2 numbers above 0"),
        (["--dataroot", "first,second", "--shares", "1,0"], "--shares needs 2 numbers above 0"),
        (["--dataroot", "first,missing"], "missing/manifest.csv"),
    ],
)
def test_what_cannot_be_joined_is_explained_and_nothing_written(
    words: list[str], message: str, first: Path, second: Path, tmp_path: Path
) -> None:
    words = [words[0], ",".join(str(tmp_path / name) for name in words[1].split(",")), *words[2:]]
    printed = run(
        "scripts/join_datasets.py",
        *words,
        "--output",
        tmp_path / "joined",
        status=2,
    )
    assert message in printed and "Traceback" not in printed
    assert not any("joined" in path.name for path in tmp_path.iterdir())

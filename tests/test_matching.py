"""--match: both domains drawn from one distribution of gender and race."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data import DataError, LoaderOptions, create_loader
from data.cache import CacheOptions
from data.loader import Loader
from data.matching import Matching
from data.samples import Draw
from data.transforms import TransformOptions
from data.unaligned_dataset import UnalignedOptions
from util.arguments import OptionError
from util.distributed import Place

PEOPLE = {
    "trainA": ["female white"] * 8 + ["female black"] * 2 + ["male white"] * 4 + ["male "],
    "trainB": ["female white"] * 2 + ["male white"] * 6 + ["male asian"] * 1,
}


def paint(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def write_manifest(dataroot: Path, people: dict[str, list[str]], columns: tuple[str, ...]) -> None:
    with (dataroot / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["folder", "file", *columns])
        for folder, labels in people.items():
            for number, label in enumerate(labels):
                writer.writerow([folder, f"{label or 'unknown'} {number}.png", *label.split(" ")[: len(columns)]])


@pytest.fixture
def dataroot(tmp_path: Path) -> Path:
    """15 photos of A, 9 of B; who is on each is said by its name, and by the manifest."""
    for folder, labels in PEOPLE.items():
        for number, label in enumerate(labels):
            paint(tmp_path / folder / f"{label} {number}.png")
    write_manifest(tmp_path, PEOPLE, ("gender", "race"))
    return tmp_path


def load(
    dataroot: Path,
    match: str,
    *,
    batch_size: int = 1,
    threads: int = 0,
    place: Place | None = None,
    **options: object,
) -> Loader:
    data = UnalignedOptions(
        dataroot=dataroot,
        match=match,
        transform=TransformOptions("none", no_flip=True),
        **options,  # type: ignore[arg-type]
    )
    loading = LoaderOptions(batch_size, threads, cache=CacheOptions("none"))
    loader = create_loader("unaligned", data, loading, {"A": 3, "B": 3}, seed=3, announce=lambda line: None)
    if place is not None:
        loader = Loader(loader.dataset, loading, seed=3, shuffle=True, place=place)
    return loader


def drawn(loader: Loader, epoch: int = 1, start: int = 0) -> list[tuple[str, str]]:
    return [
        (a.stem, b.stem)
        for batch in loader.epoch(epoch, start)
        for a, b in zip(batch["A_paths"], batch["B_paths"], strict=True)
    ]


def label_of(stem: str) -> str:
    return stem.rpartition(" ")[0]


def test_both_photos_of_a_sample_are_of_one_gender_with_the_share_promised(dataroot: Path) -> None:
    pairs = drawn(load(dataroot, "gender"))
    genders = [(a.split(" ")[0], b.split(" ")[0]) for a, b in pairs]
    assert all(a == b for a, b in genders)
    smaller = min(10 / 15, 2 / 9), min(5 / 15, 7 / 9)  # female, male
    expected = round(15 * smaller[0] / sum(smaller))
    assert Counter(a for a, _ in genders) == {"female": expected, "male": 15 - expected}


def test_by_gender_and_race_only_common_and_known_groups_are_drawn(dataroot: Path) -> None:
    pairs = drawn(load(dataroot, "gender,race"), epoch=1) + drawn(load(dataroot, "gender,race"), epoch=2)
    assert {label_of(name) for pair in pairs for name in pair} == {"female white", "male white"}
    assert all(label_of(a) == label_of(b) for a, b in pairs)


def test_photos_of_a_group_come_equally_often_over_the_epochs(dataroot: Path) -> None:
    loader = load(dataroot, "gender")
    counts = Counter(a for epoch in range(1, 9) for a, _ in drawn(loader, epoch))
    women = [count for name, count in counts.items() if name.startswith("female")]
    assert len(women) == 10 and max(women) - min(women) <= 1
    assert len({tuple(drawn(loader, epoch)) for epoch in (1, 2, 3)}) == 3, "epochs differ"


def test_small_groups_are_not_worn_out() -> None:
    """One woman among a thousand men is drawn as often as without matching, divided by the overlap at most."""
    groups = {"A": np.array([0] * 500 + [1] * 500), "B": np.array([0] + [1] * 999)}
    matching = Matching(["female", "male"], groups, 1000, seed=0)
    pairs = [matching.draw(Draw(position, 1), np.random.default_rng(position)) for position in range(1000)]
    often = Counter(b for _, b in pairs)
    assert 1 / matching.overlap < 2.01
    assert 1 <= often[0] <= 2


def test_goes_on_within_an_epoch_and_for_any_number_of_processes(dataroot: Path) -> None:
    whole = drawn(load(dataroot, "gender", batch_size=4))
    assert drawn(load(dataroot, "gender", batch_size=4), start=8) == whole[8:]
    assert drawn(load(dataroot, "gender", batch_size=4, threads=1)) == whole
    halves = [load(dataroot, "gender", batch_size=2, place=Place(rank, 2, rank, 2)) for rank in (0, 1)]
    first, second = (drawn(half) for half in halves)
    together = [pair for at in range(0, len(first), 2) for pair in first[at : at + 2] + second[at : at + 2]]
    assert together[: len(whole)] == whole


def test_direction_exchanges_the_groups_with_the_domains(dataroot: Path) -> None:
    pairs = drawn(load(dataroot, "gender", direction="BtoA"))
    assert all(a.split(" ")[0] == b.split(" ")[0] for a, b in pairs)
    assert all((dataroot / "trainB" / f"{a}.png").exists() for a, _ in pairs)


def test_an_unreadable_photo_is_replaced_by_one_of_its_group(dataroot: Path) -> None:
    (dataroot / "trainB" / "female white 0.png").write_text("broken")
    pairs = drawn(load(dataroot, "gender"), 1) + drawn(load(dataroot, "gender"), 2)
    assert all(a.split(" ")[0] == b.split(" ")[0] for a, b in pairs)


def test_the_shares_are_told(dataroot: Path) -> None:
    lines: list[str] = []
    data = UnalignedOptions(dataroot=dataroot, match="gender")
    loading = LoaderOptions(cache=CacheOptions("none"))
    create_loader("unaligned", data, loading, {"A": 3, "B": 3}, 0, announce=lines.append)
    assert lines[0] == (
        "matched: female 66.7% of A, 22.2% of B, now 40.0% of both; male 33.3% of A, 77.8% of B, now 60.0% of both"
    )
    assert "more than 1.80 times as often" in lines[1] and lines[1].endswith("0 of A, 0 of B")


def test_serial_batches_contradict_matching(dataroot: Path) -> None:
    with pytest.raises(OptionError, match=r"--match gender .* --serial_batches"):
        UnalignedOptions(dataroot=dataroot, match="gender", serial_batches=True)


def test_what_is_missing_is_named(dataroot: Path) -> None:
    write_manifest(dataroot, PEOPLE, ("gender",))
    with pytest.raises(DataError, match=r"manifest\.csv lacks the columns race: .*prepare_dataset"):
        load(dataroot, "gender,race")
    write_manifest(dataroot, {folder: [""] * 20 for folder in PEOPLE}, ("gender", "race"))
    with pytest.raises(DataError, match=r"gender of .*manifest\.csv contain no values for photos in .*trainA; fill"):
        load(dataroot, "gender")
    (dataroot / "manifest.csv").unlink()
    with pytest.raises(DataError, match=r"--match gender needs .*manifest\.csv, which does not exist"):
        load(dataroot, "gender")


def test_domains_without_a_common_group_are_refused(dataroot: Path) -> None:
    people = {"trainA": ["female x"] * 15, "trainB": ["male x"] * 9}
    for folder, labels in people.items():
        for number, label in enumerate(labels):
            paint(dataroot / folder / f"{label} {number}.png")
    write_manifest(dataroot, people, ("gender", "race"))
    with pytest.raises(DataError, match=r"no group in common according to .*female, male"):
        load(dataroot, "gender")

"""Folders, datasets and loaders: orders that follow from the seed, files that cannot be read."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import DataError, LoaderOptions, create_loader, create_test_loaders
from data.cache import CacheOptions
from data.image_folder import list_images, unique_stems
from data.loader import Loader
from data.single_dataset import SingleOptions
from data.transforms import TransformOptions
from data.unaligned_dataset import UnalignedOptions

CHANNELS = {"A": 3, "B": 3}
RAW = TransformOptions("none", no_flip=True)


def paint(path: Path, value: int, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


@pytest.fixture
def dataroot(tmp_path: Path) -> Path:
    """5 photos of A with values 0 to 4, 7 of B with values 100 to 106."""
    for number in range(5):
        paint(tmp_path / "trainA" / f"a{number}.png", number)
    for number in range(7):
        paint(tmp_path / "trainB" / f"b{number}.png", 100 + number)
    return tmp_path


def unaligned(dataroot: Path, transform: TransformOptions = RAW, **options: object) -> UnalignedOptions:
    return UnalignedOptions(dataroot=dataroot, transform=transform, **options)  # type: ignore[arg-type]


def loader_of(
    options: UnalignedOptions, batch_size: int = 1, num_threads: int = 0, seed: int = 0, **settings
) -> Loader:  # type: ignore[no-untyped-def]
    """A loader that reads photos from their files; tests/test_cache.py holds the others to it."""
    loading = LoaderOptions(batch_size, num_threads, cache=CacheOptions("none"))
    return create_loader("unaligned", options, loading, CHANNELS, seed, **settings)


def names(loader: Loader, epoch: int = 1, start: int = 0) -> list[tuple[str, str]]:
    return [
        (a.stem, b.stem)
        for batch in loader.epoch(epoch, start)
        for a, b in zip(batch["A_paths"], batch["B_paths"], strict=True)
    ]


def test_an_epoch_is_as_long_as_the_larger_folder_and_covers_the_smaller(dataroot: Path) -> None:
    loader = loader_of(unaligned(dataroot), batch_size=2)
    assert len(loader) == 7
    pairs = names(loader)
    counts = [sum(a == f"a{n}" for a, _ in pairs) for n in range(5)]
    assert sorted(counts) == [1, 1, 1, 2, 2]


def test_partners_are_random_or_serial(dataroot: Path) -> None:
    random = loader_of(unaligned(dataroot))
    assert len({tuple(names(random, epoch)) for epoch in range(1, 6)}) == 5
    serial = loader_of(unaligned(dataroot, serial_batches=True))
    expected = [(f"a{n % 5}", f"b{n}") for n in range(7)]
    assert names(serial, 1) == names(serial, 2) == expected


def test_direction_exchanges_the_domains(dataroot: Path) -> None:
    batch = next(iter(loader_of(unaligned(dataroot, direction="BtoA")).epoch()))
    assert batch["A_paths"][0].parent.name == "trainB" and batch["B_paths"][0].parent.name == "trainA"


def all_of(loader: Loader, epochs: int = 2) -> torch.Tensor:
    batches = [batch for epoch in range(1, epochs + 1) for batch in loader.epoch(epoch)]
    return torch.cat([torch.cat([batch["A"], batch["B"]]).flatten() for batch in batches])


def test_seed_decides_everything_and_the_number_of_workers_nothing(dataroot: Path) -> None:
    noise = np.random.default_rng(0)
    for path in dataroot.rglob("*.png"):
        Image.fromarray(noise.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
    (dataroot / "trainA" / "a2.png").write_bytes(b"broken")
    options = unaligned(dataroot, TransformOptions("resize_and_crop", 24, 16))
    runs = [all_of(loader_of(options, 2, threads, seed)) for threads, seed in ((0, 0), (1, 0), (3, 0), (0, 1))]
    assert torch.equal(runs[0], runs[1]) and torch.equal(runs[0], runs[2])
    assert not torch.equal(runs[0], runs[3])


def test_an_epoch_can_begin_in_its_middle(dataroot: Path) -> None:
    loader = loader_of(unaligned(dataroot), batch_size=2)
    assert names(loader, 3, start=4) == names(loader, 3)[4:]
    assert names(loader, 3, start=7) == names(loader, 3, start=9) == [], "done, or beyond a collection that shrank"


def test_unreadable_files_are_replaced_and_told_of_once(dataroot: Path) -> None:
    (dataroot / "trainA" / "a1.png").write_bytes(b"no photo")
    whole = (dataroot / "trainB" / "b3.png").read_bytes()
    (dataroot / "trainB" / "b3.png").write_bytes(whole[: len(whole) // 2])
    for threads in (0, 2):
        lines: list[str] = []
        loader = loader_of(unaligned(dataroot), 2, threads, report=lines.append)
        pairs = [pair for epoch in range(1, 7) for pair in names(loader, epoch)]
        assert len(pairs) == 6 * 7, "every step has its photos"
        assert not {"a1", "b3"} & {name for pair in pairs for name in pair}
        assert sorted(line.split(":")[0] for line in lines) == sorted(
            f"skipped {dataroot / folder / name}" for folder, name in (("trainA", "a1.png"), ("trainB", "b3.png"))
        )


@pytest.mark.parametrize("threads", [0, 2])
def test_a_folder_without_any_readable_photo_ends_the_run_with_its_name(dataroot: Path, threads: int) -> None:
    for path in (dataroot / "trainB").iterdir():
        path.write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"none of the 7 photos in .*trainB can be used"):
        names(loader_of(unaligned(dataroot), num_threads=threads, report=lambda line: None))


def test_missing_and_empty_folders_say_which_and_what_was_expected(dataroot: Path) -> None:
    with pytest.raises(DataError, match=r"valA is not a folder; .* contains the folders trainA, trainB"):
        loader_of(unaligned(dataroot, phase="val"))
    (dataroot / "emptyA").mkdir()
    (dataroot / "emptyA" / "notes.txt").write_text("no photo")
    with pytest.raises(DataError, match=r"emptyA contains no images \(expected files ending in \.jpg"):
        loader_of(unaligned(dataroot, phase="empty"))
    with pytest.raises(DataError, match=r"nowhere/trainA is not a folder, and neither is .*nowhere"):
        loader_of(unaligned(dataroot / "nowhere"))


def test_sizes_that_differ_cannot_make_a_training_batch(dataroot: Path) -> None:
    paint(dataroot / "trainA" / "a0.png", 0, (12, 8))
    with pytest.raises(DataError, match=r"differ in size.*--batch_size 1"):
        names(loader_of(unaligned(dataroot), batch_size=7))


def test_folders_are_searched_in_depth_sorted_and_links_followed_once(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "a/1.jpg", ".hidden/3.png", "a/.4.png", "c.webp"):
        paint(tmp_path / name, 1)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert [str(path.relative_to(tmp_path)) for path in list_images(tmp_path)] == ["a/1.jpg", "b/2.PNG", "c.webp"]
    assert len(list_images(tmp_path, limit=2)) == 2


def test_stems_are_unique() -> None:
    root = Path("root")
    files = ["x.jpg", "x.png", "a/x.jpg", "a/x.png", "a_x.jpg", "y.jpg", "a.b/z.jpg", "x_2.jpg"]
    stems = unique_stems([root / name for name in files], root)
    assert stems[root / "x.jpg"] == "x" and stems[root / "y.jpg"] == "y" and stems[root / "a/x.jpg"] == "a_x"
    assert len(set(stems.values())) == len(files)
    assert not any("/" in stem for stem in stems.values())


def test_testing_takes_each_photo_once_in_order_whatever_its_size(tmp_path: Path) -> None:
    for number, size in enumerate([(8, 8), (13, 30), (8, 8), (9, 8)]):
        paint(tmp_path / f"{number}.png", number, size)
    (tmp_path / "1b.png").write_bytes(b"no photo")
    lines: list[str] = []
    options = SingleOptions(dataroot=tmp_path, transform=RAW)
    loaders = create_test_loaders("single", options, LoaderOptions(4, 2), CHANNELS, None, report=lines.append)
    batches = list(loaders["A"].epoch())
    shapes = [tuple(batch["A"].shape) for batch in batches]
    assert sorted(path.name for batch in batches for path in batch["A_paths"]) == ["0.png", "1.png", "2.png", "3.png"]
    assert set(shapes) == {(2, 3, 8, 8), (1, 3, 32, 12), (1, 3, 8, 8)} or set(shapes) == {(3, 3, 8, 8), (1, 3, 32, 12)}
    assert len(lines) == 1 and "1b.png" in lines[0]


def test_num_test_and_max_dataset_size_bound_each_domain(dataroot: Path) -> None:
    options = unaligned(dataroot, max_dataset_size=4)
    loaders = create_test_loaders("unaligned", options, LoaderOptions(1, 0), CHANNELS, 3)
    assert {domain: len(list(loader.epoch())) for domain, loader in loaders.items()} == {"A": 3, "B": 3}
    assert len(loader_of(options)) == 4


def test_waiting_is_measured(dataroot: Path) -> None:
    loader = loader_of(unaligned(dataroot))
    assert loader.seconds_waited == 0
    started = time.perf_counter()
    names(loader)
    assert 0 < loader.seconds_waited <= time.perf_counter() - started


def test_workers_end_with_the_loader(dataroot: Path) -> None:
    loader = loader_of(unaligned(dataroot), num_threads=2)
    names(loader)
    assert len(multiprocessing.active_children()) >= loader.workers > 0
    del loader
    assert not multiprocessing.active_children()

"""Decoded photos kept in memory, on a device: the same batches to the bit, each photo decoded once."""

from __future__ import annotations

import csv
import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from processes import ENVIRONMENT, ROOT, TINY, run

from data import LoaderOptions, create_loader
from data.cache import CacheOptions, PhotoCache
from data.cache.choice import choose
from data.loader import Loader
from data.photos import PhotoFolder
from data.samples import Batch, Draw
from data.transforms import MODES, TransformOptions
from data.unaligned_dataset import UnalignedOptions
from util import memory
from util.arguments import OptionError

CPU = torch.device("cpu")
RESIZED = TransformOptions("resize_and_crop", 40, 32)
KINDS = ("ram", "device")


def draw_photos(folder: Path, count: int, seed: int, size: tuple[int, int] | None = None) -> None:
    """Noise in JPEG files of differing sizes, some of them grey, turned by EXIF, transparent or too small to crop."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        width, height = size or (int(rng.integers(36, 70)), int(rng.integers(36, 70)))
        image = Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
        exif = Image.Exif()
        if number == 1:
            image = image.convert("L")
        elif number == 2:
            exif[0x0112] = 6
        elif number == 3 and size is None:
            image = image.resize((50, 20))
        image.save(folder / f"{number:02}.jpg", exif=exif)
    Image.new("RGBA", size or (44, 47), (200, 30, 10, 99)).save(folder / "transparent.png")
    (folder / "broken.jpg").write_bytes(b"no photo")


@pytest.fixture
def dataroot(tmp_path: Path) -> Path:
    """9 photos of A and 12 of B, one of each of them no photo at all."""
    draw_photos(tmp_path / "data" / "trainA", 7, seed=0)
    draw_photos(tmp_path / "data" / "trainB", 10, seed=1)
    return tmp_path / "data"


def loader_of(
    dataroot: Path,
    kind: str,
    transform: TransformOptions = RESIZED,
    *,
    batch_size: int = 1,
    num_threads: int = 0,
    channels: tuple[int, int] = (3, 3),
    report: Callable[[str], None] = lambda line: None,
    **options: object,
) -> Loader:
    data = UnalignedOptions(dataroot=dataroot, transform=transform, **options)  # type: ignore[arg-type]
    cache = CacheOptions(kind)
    return create_loader(
        "unaligned",
        data,
        LoaderOptions(batch_size, num_threads, cache=cache),
        dict(zip("AB", channels, strict=True)),
        5,
        report=report,
        announce=report,
    )


def epochs_of(loader: Loader, count: int = 2, start: int = 0) -> list[tuple[list[Path], bytes]]:
    """Everything that so many epochs hold: files and bits."""
    return [contents(batch) for epoch in range(1, count + 1) for batch in loader.epoch(epoch, start)]


def contents(batch: Batch) -> tuple[list[Path], bytes]:
    return batch["A_paths"] + batch["B_paths"], b"".join(batch[domain].cpu().numpy().tobytes() for domain in "AB")


def skips(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("skipped")]


@pytest.mark.parametrize("preprocess", MODES)
def test_epochs_are_the_same_to_the_bit_wherever_photos_are_kept(dataroot: Path, preprocess: str) -> None:
    """Also what is skipped, in which words and in which order, and from the middle of an epoch."""
    transform = TransformOptions(preprocess, 38, 32)
    told: dict[str, list[str]] = {kind: [] for kind in ("none", *KINDS)}
    batch_size = 3 if transform.crops else 1
    epochs = {}
    for kind, lines in told.items():
        loader = loader_of(dataroot, kind, transform, batch_size=batch_size, report=lines.append)
        epochs[kind] = epochs_of(loader) + epochs_of(loader, start=4)
    assert len(epochs["none"]) == (2 * (4 + 3) if batch_size == 3 else 2 * (12 + 8))
    for kind in KINDS:
        assert epochs[kind] == epochs["none"], kind
        assert skips(told[kind]) == skips(told["none"]), kind
        assert any(line.startswith(f"cache: {kind}") for line in told[kind])
    assert len(skips(told["none"])) >= 2


@pytest.mark.parametrize(
    "options",
    [
        {"channels": (1, 3)},
        {"channels": (1, 1), "direction": "BtoA"},
        {"serial_batches": True, "max_dataset_size": 4},
        {"transform": TransformOptions("resize_and_crop", 40, 32, no_flip=True), "direction": "BtoA"},
    ],
    ids=str,
)
def test_options_of_the_data_mean_the_same_with_a_cache(dataroot: Path, options: dict) -> None:
    expected = epochs_of(loader_of(dataroot, "none", batch_size=2, **options))
    for kind in KINDS:
        assert epochs_of(loader_of(dataroot, kind, batch_size=2, **options)) == expected, kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_workers_changes_nothing(dataroot: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.loader.usable_cores", lambda: 8)
    expected = epochs_of(loader_of(dataroot, "none", batch_size=2))
    for workers in (0, 1, 3):
        lines: list[str] = []
        loader = loader_of(dataroot, kind, batch_size=2, num_threads=workers, report=lines.append)
        assert loader.batches.num_workers == (0 if kind == "device" else workers)
        assert epochs_of(loader) == expected, workers
        assert len(skips(lines)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_each_photo_is_decoded_once(dataroot: Path, kind: str) -> None:
    """Once the loader stands, files may go or become something else: nobody reads them any more."""
    expected = epochs_of(loader_of(dataroot, "none"))
    loader = loader_of(dataroot, kind)
    photos = [path for path in dataroot.rglob("*.*") if path.stem != "broken"]
    for number, path in enumerate(photos):
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(b"poison")
    assert epochs_of(loader) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_that_cannot_be_read_is_tried_again(dataroot: Path, kind: str) -> None:
    loader = loader_of(dataroot, kind)
    assert not any(path.stem == "broken" for paths, _ in epochs_of(loader) for path in paths)
    for domain in "AB":
        (dataroot / f"train{domain}" / "broken.jpg").write_bytes((dataroot / "trainA" / "00.jpg").read_bytes())
    assert epochs_of(loader) == epochs_of(loader_of(dataroot, "none"))


def test_batches_of_the_device_lie_on_it(dataroot: Path) -> None:
    """The device without data stands for one that is not the host's memory."""
    folder = PhotoFolder(dataroot / "trainA", sorted((dataroot / "trainA").iterdir()), 3, RESIZED)
    cache = PhotoCache(CacheOptions("device"), torch.device("meta"), 1, lambda line: None)
    image = cache.open({"A": folder})["A"].load(0, np.random.default_rng(0))
    assert image.device.type == "meta" and image.shape == (3, 32, 32)


# Memory


SPAWNED = """
import hashlib, pickle, sys
import data
from data.samples import Draw
image = pickle.load(sys.stdin.buffer)[Draw(3, 2)].images["A"]
print(hashlib.sha1(image.numpy().tobytes()).hexdigest())
"""


def test_pixels_are_found_by_workers_that_are_not_forked(dataroot: Path) -> None:
    dataset = loader_of(dataroot, "ram").dataset
    words = pickle.dumps(dataset)
    assert len(words) < 20_000, "a place to find the pixels, not the pixels"
    done = subprocess.run([sys.executable, "-c", SPAWNED], input=words, capture_output=True, cwd=ROOT, env=ENVIRONMENT)
    expected = hashlib.sha1(dataset[Draw(3, 2)].images["A"].numpy().tobytes()).hexdigest()
    assert done.stdout.decode().strip() == expected, done.stderr


@pytest.mark.parametrize("kind", ["ram", "device"])
def test_memory_that_does_not_suffice_is_told_with_the_remedy(
    dataroot: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.cache.choice.free_bytes", lambda device: 50_000)
    with pytest.raises(OptionError, match=rf"--cache {kind}: decoded photos take 101 KB, but only 50 KB .*--cache "):
        loader_of(dataroot, kind)


def test_auto_takes_what_fits_comfortably(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"cpu": 100, "cuda": 80}
    monkeypatch.setattr("data.cache.choice.free_bytes", lambda device: free[device.type])
    cuda = torch.device("cuda", 0)
    assert [choose("auto", needed, cuda).kind for needed in (10, 11, 50, 51)] == ["device", "ram", "ram", "none"]
    assert [choose("auto", needed, CPU).kind for needed in (10, 50, 51)] == ["ram", "ram", "none"]
    assert [choose("auto", needed, CPU, processes=4).kind for needed in (12, 13)] == ["ram", "none"], "each has its own"


def test_auto_that_finds_no_room_says_so_and_reads_files(dataroot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.cache.choice.free_bytes", lambda device: 150_000)
    lines: list[str] = []
    expected = epochs_of(loader_of(dataroot, "none"))
    assert epochs_of(loader_of(dataroot, "auto", report=lines.append)) == expected
    why = "decoded photos take 101 KB, 150 KB of memory are free"
    assert lines[0] == f"cache: none (auto), {why}"


def test_free_memory_is_what_the_tightest_limit_leaves(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert memory.free_host_bytes(proc, groups) == 8000 * 1024
    (proc / "self" / "cgroup").write_text("0::/job/step\n")
    for name, limit, used in (("job", "3000000", "900000"), ("job/step", "max", "500000")):
        (groups / name).mkdir(parents=True)
        (groups / name / "memory.max").write_text(limit)
        (groups / name / "memory.current").write_text(used)
        (groups / name / "memory.stat").write_text("anon 5\ninactive_file 100000\n")
    assert memory.free_host_bytes(proc, groups) == 3_000_000 - 900_000 + 100_000
    (proc / "self" / "cgroup").write_text("4:memory:/box\n3:cpu:/box\n")
    (groups / "memory").mkdir()
    for name, content in (("limit_in_bytes", "2000000"), ("usage_in_bytes", "1500000"), ("stat", "cache 1\n")):
        (groups / "memory" / f"memory.{name}").write_text(content)
    assert memory.free_host_bytes(proc, groups) == 500_000, "version 1, and the container's own group at the top"


# The commands


@pytest.fixture(scope="module")
def losses_without(demo_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("cached")
    run("train.py", *words_of(demo_faces, folder, "none"), "--n_epochs", "2", "--n_epochs_decay", "0")
    return folder, read_losses(folder / "none")


def words_of(faces: Path, folder: Path, kind: str) -> list[str | Path]:
    words = f"{TINY} --batch_size 4 --print_freq 4 --precision float32 --no_html --cache {kind}".split()
    return ["--dataroot", faces, "--name", kind, "--checkpoints_dir", folder, *words]


def read_losses(folder: Path) -> list[dict[str, str]]:
    """The rows of loss_log.csv without what differs from run to run."""
    with open(folder / "loss_log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.split("_")[0] in ("D", "G", "cycle", "idt", "epoch", "total")]
    assert len(names) >= 9
    return [{name: row[name] for name in names} for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_training_gives_the_same_losses_and_goes_on_with_another_cache(
    demo_faces: Path, losses_without: tuple[Path, list[dict[str, str]]], kind: str
) -> None:
    folder, expected = losses_without
    other = KINDS[KINDS.index(kind) - 1]
    output = run("train.py", *words_of(demo_faces, folder, kind), "--n_epochs", "1", "--n_epochs_decay", "0")
    assert f"cache: {kind}, decoded photos take 311 KB" in output and "cache: decoded 40 of 40 photos" in output
    words = [*words_of(demo_faces, folder, kind), "--continue_train", "--n_epochs", "2", "--cache", other]
    assert f"cache: {other}" in run("train.py", *words)
    assert len(expected) == 20 and read_losses(folder / kind) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_makes_the_same_batches_without_waiting(dataroot: Path) -> None:
    expected = epochs_of(loader_of(dataroot, "none", batch_size=4))
    data = UnalignedOptions(dataroot=dataroot, transform=RESIZED)
    loading = LoaderOptions(4, 2, cache=CacheOptions("device"))
    loader = create_loader("unaligned", data, loading, {"A": 3, "B": 3}, 5, device=torch.device("cuda", 0))
    for path in dataroot.rglob("broken.jpg"):
        path.unlink()  # or its replacement would be looked for
    torch.cuda.set_sync_debug_mode("error")
    try:
        batches = [batch for epoch in (1, 2) for batch in loader.epoch(epoch)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(batch["A"].is_cuda for batch in batches)
    assert list(map(contents, batches)) == expected

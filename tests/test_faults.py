"""Whole trainings, and what becomes of them when something goes wrong: real processes, real kills."""

from __future__ import annotations

import csv
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from processes import Forked, fork, run
from small_runs import reports, same, weights

from data import LoaderOptions, create_loader
from data.unaligned_dataset import UnalignedOptions

SMALL = [
    *("--load_size", "18", "--crop_size", "16", "--ngf", "2", "--ndf", "2", "--netG", "resnet_1blocks"),
    *("--netD", "pixel", "--num_threads", "0", "--no_visdom", "--no_html", "--gpu_ids", "-1", "--batch_size", "2"),
    *("--max_dataset_size", "20", "--n_epochs", "1", "--n_epochs_decay", "2", "--pool_size", "5", "--dropout"),
    *("--print_freq", "2", "--save_latest_freq", "4", "--name", "run"),
]
"""Three epochs of ten steps, each of them reported, and saved every other."""


KILLS = 6
"""In one run; scripts/development/soak.py has many more."""


class Case:
    """A training in a folder of its own."""

    def __init__(self, folder: Path, faces: Path) -> None:
        self.folder, self.path, self.output = folder, folder / "run", folder / "output.txt"
        self.words = ["--dataroot", str(faces), "--checkpoints_dir", str(folder), *SMALL]

    def run(self, *words: str, **settings: object) -> str:
        return run("train.py", *self.words, *words, **settings)  # type: ignore[arg-type]

    def start(self, *words: str, **settings: object) -> Forked:
        return fork(self.output, "train.py", *self.words, *words, **settings)  # type: ignore[arg-type]

    def wait_until(self, condition: Callable[[], object], process: Forked) -> None:
        deadline = time.monotonic() + 240
        while not condition():
            alive = Path(f"/proc/{process.pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
            assert alive and time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.01)

    def reports(self) -> int:
        log = self.path / "loss_log.csv"
        return len(log.read_text().splitlines()) - 1 if log.exists() else 0

    @property
    def losses(self) -> list[dict[str, str]]:
        return reports(self.path / "loss_log.csv")

    @property
    def positions(self) -> list[tuple[int, int]]:
        text = (self.path / "loss_log.txt").read_text()
        return [(int(epoch), int(images)) for epoch, images in re.findall(r"epoch: (\d+), iters: (\d+)", text)]

    def is_like(self, other: Case) -> bool:
        """Same losses to the last digit, same weights to the last bit, each position of the logs once."""
        return (
            self.losses == other.losses
            and same(weights(self.path), weights(other.path))
            and self.positions == [(epoch, images) for epoch in (1, 2, 3) for images in range(2, 21, 2)]
        )


@pytest.fixture
def case(tmp_path: Path, demo_faces: Path) -> Case:
    return Case(tmp_path, demo_faces)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, demo_faces: Path) -> Case:
    case = Case(tmp_path_factory.mktemp("uninterrupted"), demo_faces)
    case.run()
    return case


def test_a_run_killed_at_random_moments_ends_like_one_that_was_not(case: Case, uninterrupted: Case) -> None:
    """Any moment: while it starts, in a step, in the writing of a checkpoint, which it does every other step."""
    moments = random.Random(6)
    done = 0
    while True:
        is_known = (case.path / "snapshots").is_dir() and any((case.path / "snapshots").glob("0*"))
        process = case.start(*(["--continue_train"] if is_known else []))
        if done == KILLS:
            break
        case.wait_until((case.path / ".lock").exists, process)
        time.sleep(moments.uniform(0.0, 1.0))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            shutil.rmtree(case.path)  # it was done already: once more
            continue
        done += 1
    assert process.wait() == 0, case.output.read_text()
    assert case.is_like(uninterrupted)
    assert not list(case.path.rglob("*.tmp"))


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, "1"), (signal.SIGINT, "0")])
def test_sigterm_and_ctrl_c_save_first(number: int, workers: str, case: Case, uninterrupted: Case) -> None:
    process = case.start("--num_threads", workers, "--save_latest_freq", "1000")
    case.wait_until(lambda: case.reports() >= 3, process)
    process.send_signal(number)
    assert process.wait() == 128 + number
    stopped = re.search(r"stopped and saved at epoch 1, image (\d+)", case.output.read_text())
    assert stopped
    state = torch.load(case.path / "latest_state.pth", weights_only=True)
    assert state["progress"]["epoch_images"] == int(stopped[1])
    assert state["display"]["epoch_seconds"] > 0 and state["display"]["seconds_per_image"] > 0
    case.run("--continue_train", "--num_threads", "1" if workers == "0" else "0")
    assert case.is_like(uninterrupted), "on another number of workers, too"


def test_a_killed_worker_is_replaced_and_the_run_ends_like_one_without(case: Case, uninterrupted: Case) -> None:
    process = case.start("--num_threads", "1")
    case.wait_until(lambda: case.reports() >= 2, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    assert process.wait() == 0, case.output.read_text()
    assert "a process that loads photos was killed" in case.output.read_text()
    assert case.is_like(uninterrupted)


def test_a_file_size_limit_keeps_the_last_good_checkpoint_and_the_run_goes_on(case: Case) -> None:
    case.run("--n_epochs_decay", "0")
    before = weights(case.path)
    limit = (case.path / "latest_state.pth").stat().st_size - 1
    output = case.run("--continue_train", "--n_epochs_decay", "1", status=1, file_limit=limit)
    assert output.count("could not be saved: File too large") == 6, "at each occasion"
    assert "the last good checkpoint is" in output and "(epoch 2, image 0)" in output
    assert "epoch 2/2 20/20" in output and "Traceback" not in output
    assert same(weights(case.path), before)
    case.run("--continue_train", "--n_epochs_decay", "1")
    assert case.positions == [(epoch, images) for epoch in (1, 2) for images in range(2, 21, 2)]


@pytest.fixture
def small_disk(case: Case) -> Iterator[Path]:
    case.path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", case.path], capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    yield case.path
    subprocess.run(["umount", "-l", case.path], check=True)


def test_a_full_disk_is_told_of_and_a_freed_one_used_again(small_disk: Path, case: Case, uninterrupted: Case) -> None:
    process = case.start()
    case.wait_until(lambda: case.reports() >= 3, process)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    case.wait_until(lambda: "could not be saved" in case.output.read_text(), process)
    assert any(small_disk.glob("snapshots/0*/manifest.json")), "the last good one stays"
    filler.unlink()
    assert process.wait() == 0, case.output.read_text()
    assert case.is_like(uninterrupted), "with every line of the logs"


def test_photos_deleted_or_cut_off_meanwhile_are_named_and_passed_over(case: Case, demo_faces: Path) -> None:
    faces = case.folder / "faces"
    shutil.copytree(demo_faces, faces)
    process = case.start("--dataroot", str(faces), "--no_dropout", "--cache", "none")
    case.wait_until(lambda: case.reports() >= 2, process)
    gone, half = faces / "trainA" / "0003.png", faces / "trainB" / "0005.png"
    gone.unlink()
    half.write_bytes(half.read_bytes()[:200])
    assert process.wait() == 0, case.output.read_text()
    output = case.output.read_text()
    assert output.count(f"skipped {gone}") == 1 and output.count(f"skipped {half}") == 1 and "Traceback" not in output
    output = case.run("--dataroot", str(faces), "--no_dropout", "--continue_train", "--n_epochs_decay", "3")
    assert "photos of domain A have changed" in output and "(20 then, 20 now)" in output


def test_when_no_photo_is_left_the_run_is_saved_before_it_ends(case: Case, demo_faces: Path) -> None:
    faces = case.folder / "faces"
    shutil.copytree(demo_faces, faces)
    process = case.start("--dataroot", str(faces), "--save_latest_freq", "1000", "--cache", "none")
    case.wait_until(lambda: case.reports() >= 2, process)
    for path in (faces / "trainB").iterdir():
        path.unlink()
    assert process.wait() == 2
    output = case.output.read_text()
    assert "none of the 20 photos" in output and "Traceback" not in output
    state = torch.load(case.path / "latest_state.pth", weights_only=True)
    assert state["progress"]["total_images"] >= 4


@pytest.fixture(scope="module")
def late_photo(demo_faces: Path) -> str:
    """A photo that comes into the first epoch's seventh step, and not before."""
    folders = UnalignedOptions(dataroot=demo_faces, max_dataset_size=20)
    loader = create_loader("unaligned", folders, LoaderOptions(2, 0), {"A": 3, "B": 3}, 0)
    steps = [{path.name for path in batch["A_paths"] + batch["B_paths"]} for batch in loader.epoch(1)]
    return min(steps[6] - set.union(*steps[:6]))


def finite(case: Case) -> bool:
    snapshots = [torch.load(path, weights_only=True) for path in case.path.rglob("*_net_*.pth")]
    return bool(snapshots) and all(value.isfinite().all() for state in snapshots for value in state.values())


def test_nan_stops_the_run_and_names_step_photos_and_checkpoint(case: Case, late_photo: str) -> None:
    output = case.run("--save_latest_freq", "10", "--print_freq", "1000", status=2, nan_photo=late_photo)
    pattern = r"error: losses are not finite at epoch 1, image (\d+): .* nan.*, on (.*)\. The last good "
    pattern += r"checkpoint is (\S+) "
    told = re.search(pattern, output)
    assert told, output
    assert told[1] == "14" and late_photo in told[2] and len(told[2].split(", ")) == 4
    assert (Path(told[3]) / "manifest.json").is_file() and "--on_nan" in output and "--lr" in output
    assert "Traceback" not in output
    state = torch.load(case.path / "latest_state.pth", weights_only=True)
    assert state["progress"]["total_images"] == 10
    assert finite(case)


def test_a_learning_rate_that_explodes_stops_the_run_too(case: Case) -> None:
    output = case.run("--lr", "1e30", status=2)
    assert re.search("not finite", output) and "There is no checkpoint yet" in output
    assert not list(case.path.rglob("*.pth"))


def test_skipping_goes_on_without_the_bad_steps(case: Case, late_photo: str) -> None:
    output = case.run("--on_nan", "skip", nan_photo=late_photo)
    skipped = re.findall(
        rf"not finite at epoch \d, image \d+: .*{late_photo}.*: skipping this step \((\d+) skipped in total\)", output
    )
    assert 3 <= len(skipped) <= 9 and skipped == [str(n + 1) for n in range(len(skipped))]  # 3 epochs, 2 domains
    assert (
        "training finished at epoch 3" in output
        and finite(case)
        and "nan" not in (case.path / "loss_log.csv").read_text()
    )
    state = torch.load(case.path / "latest_state.pth", weights_only=True)
    assert state["guard"]["skipped"] == len(skipped)


def test_a_folder_that_cannot_be_written_is_told_at_the_start(case: Case) -> None:
    (case.folder / "file").write_text("")
    output = case.run("--checkpoints_dir", str(case.folder / "file"), status=2)
    assert "cannot be written (Not a directory)" in output and "--checkpoints_dir" in output


def test_a_read_only_folder_is_told_at_the_start(case: Case) -> None:
    case.path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,ro", "tmpfs", str(case.path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a read-only file system here")
    try:
        output = case.run(status=2)
        assert "cannot be written (Read-only file system)" in output and "Traceback" not in output
        assert "epoch 1/" not in output
    finally:
        subprocess.run(["umount", "-l", case.path], check=True)


def test_a_second_run_of_the_same_name_is_refused_whatever_it_wants(case: Case, uninterrupted: Case) -> None:
    process = case.start()
    case.wait_until(lambda: case.reports() >= 2, process)
    process.send_signal(signal.SIGSTOP)
    second = Case(case.folder, Path("unused"))
    second.words, second.output = case.words, case.folder / "second.txt"
    for wish in ((), ("--overwrite",), ("--continue_train",)):
        output = second.run(*wish, status=2)
        assert "another training is running" in output and f"process {process.pid} on {os.uname().nodename}" in output
    process.send_signal(signal.SIGCONT)
    assert process.wait() == 0
    assert case.is_like(uninterrupted), "and the first was not disturbed"


def test_what_would_make_another_run_is_refused_and_the_rest_is_logged(case: Case) -> None:
    case.run("--n_epochs_decay", "0")
    for words, told in {
        ("--crop_size", "12"): "--crop_size 12 cannot be used to resume.*trained with --crop_size 16",
        ("--batch_size", "4"): "--batch_size 4 .*trained with --batch_size 2",
        ("--gan_mode", "vanilla"): "--gan_mode vanilla .*trained with --gan_mode lsgan",
        ("--max_dataset_size", "9"): "--max_dataset_size 9 .*trained with --max_dataset_size 20",
        ("--serial_batches",): "--serial_batches True .*trained with --serial_batches False",
        ("--ngf", "4"): "--ngf 4 contradicts .*trained with --ngf 2",
    }.items():
        assert re.search(told, case.run("--continue_train", *words, status=2))
    output = case.run("--continue_train", "--lr", "0.0001", "--n_epochs_decay", "1", "--num_threads", "1")
    for line in ("changed: --lr 0.0002 -> 0.0001", "changed: --n_epochs_decay 0 -> 1", "changed: --num_threads 0 -> 1"):
        assert line in output and line in (case.path / "loss_log.txt").read_text().splitlines()
    last = list(csv.DictReader((case.path / "loss_log.csv").open()))[-1]
    assert float(last["learning_rate"]) == pytest.approx(0.0001 / 2)


def test_a_damaged_newest_checkpoint_costs_nothing_but_time(case: Case, uninterrupted: Case) -> None:
    process = case.start()
    case.wait_until(lambda: case.reports() >= 5, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    newest = max((case.path / "snapshots").glob("0*"))
    with (newest / "latest_state.pth").open("rb+") as file:
        file.truncate(1000)
    output = case.run("--continue_train")
    assert "skipping a damaged checkpoint" in output and newest.name in output
    assert case.is_like(uninterrupted)

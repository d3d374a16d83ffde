"""Checkpoints as whole units: killed at every step of saving, damaged, without hard links, on a full disk."""

from __future__ import annotations

import builtins
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from util.run.checkpoint import CheckpointError, load_file
from util.run.progress import Progress
from util.run.run_folder import RunFolder
from util.run.saving import Saver, SavingOptions
from util.run.snapshots import list_snapshots

NAMES = ("G_A", "G_B")


def networks(value: float = 0.0) -> dict[str, nn.Module]:
    made: dict[str, nn.Module] = {name: nn.Linear(40, 40) for name in NAMES}
    for network in made.values():
        nn.init.constant_(network.weight, value)  # type: ignore[arg-type]
    return made


def save(folder: RunFolder, number: int, **settings: object) -> None:
    folder.save(networks(number), {"number": number}, **settings)  # type: ignore[arg-type]


def numbers(filled: dict[str, nn.Module]) -> set[float]:
    return {value for network in filled.values() for value in network.weight.unique().tolist()}  # type: ignore


def resumed(folder: RunFolder, say: Callable[[str], None] = print) -> int:
    """The number of the checkpoint that a run goes on from, which must be that of the networks and the state."""
    filled = networks()
    state = folder.resume(filled, say)
    assert state is not None and numbers(filled) == {state["number"]}
    return state["number"]


def public(folder: RunFolder) -> set[float]:
    return {load_file(folder.network_path("latest", name))["weight"][0, 0].item() for name in NAMES}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, "run")


@pytest.fixture(params=["links", "no links"])
def linking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hard links, and as on a file system that has none."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)


def die_at(call: int) -> None:
    """Kill this process instead of the `call`th time that it asks the system to change a folder or to flush a file."""
    counted = iter(range(1, call + 1))

    def watched(function: Callable) -> Callable:
        def act(*arguments: object, **settings: object) -> object:
            if next(counted) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **settings)

        return act

    for name in ("link", "rename", "replace", "unlink", "rmdir", "mkdir", "fsync"):
        setattr(os, name, watched(getattr(os, name)))
    builtins.open = watched(builtins.open)  # type: ignore[assignment]


@pytest.mark.usefixtures("linking")
def test_a_process_killed_at_any_step_of_saving_leaves_one_whole_moment(folder: RunFolder) -> None:
    keep_last = 2 if os.link.__module__ == "posix" else 1  # either way with either number takes twice the time
    for number in (1, 2):
        save(folder, number, keep_last=keep_last)
    survived, kills = False, 0
    while not survived:
        child = os.fork()
        if child == 0:
            die_at(kills + 1)
            save(folder, 3, keep_last=keep_last, keep=["7"])
            os._exit(0)
        survived = os.waitpid(child, 0)[1] == 0
        translator = networks()
        folder.load_networks("latest", translator)  # as test.py would, without tidying
        before = numbers(translator)
        with folder.locked():
            number = resumed(folder)
        assert before == {number} and number == (3 if survived else number) and number in (2, 3)
        assert public(folder) == {number}, "the public names were brought in line"
        kept = sorted(path.name for path in folder.path.glob("7_net_*"))
        assert kept == (["7_net_G_A.pth", "7_net_G_B.pth"] if number == 3 else [])
        assert not list(folder.path.rglob("*.tmp"))
        kills += not survived
        shutil.rmtree(folder.path)
        for earlier in (1, 2):
            save(folder, earlier, keep_last=keep_last)
    assert kills > 20


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut off": lambda path: (path / "latest_net_G_B.pth").write_bytes((path / "latest_net_G_B.pth").read_bytes()[:-9]),
    "one bit": lambda path: flip_a_bit(path / "latest_state.pth"),
    "missing": lambda path: (path / "latest_net_G_A.pth").unlink(),
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "half a manifest": lambda path: (path / "manifest.json").write_text('{"files": {'),
    "another manifest": lambda path: (path / "manifest.json").write_text('{"files": {"../../opt.json": {}}}'),
}


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(folder: RunFolder, damage: str) -> None:
    for number in (1, 2, 3):
        save(folder, number)
    DAMAGES[damage](folder.snapshots / "000003")
    said: list[str] = []
    assert resumed(folder, said.append) == 2
    assert len(said) == 1 and "000003" in said[0] and "damaged" in said[0]
    assert public(folder) == {2}
    save(folder, 4)
    assert resumed(folder) == 4
    assert len(list(folder.snapshots.iterdir())) == 2, "the damaged one went"


def test_translating_passes_a_damaged_checkpoint_over_too(folder: RunFolder) -> None:
    for number in (1, 2):
        save(folder, number)
    flip_a_bit(folder.snapshots / "000002" / "latest_net_G_A.pth")
    said: list[str] = []
    filled = networks()
    folder.load_networks("latest", filled, said.append)
    assert numbers(filled) == {1} and "latest_net_G_A.pth" in said[0]
    assert (folder.snapshots / "000002").is_dir(), "who only reads changes nothing"


def test_where_all_are_damaged_the_message_says_what_to_do(folder: RunFolder) -> None:
    save(folder, 1)
    (folder.snapshots / "000001" / "latest_state.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no complete checkpoint; move it away to use the latest_"):
        folder.resume(networks())


def test_the_manifest_has_sizes_hashes_and_the_position(folder: RunFolder) -> None:
    save(folder, 1, notes={"epoch": 3, "epoch_images": 8})
    manifest = json.loads((folder.snapshots / "000001" / "manifest.json").read_text())
    assert set(manifest["files"]) == {"latest_net_G_A.pth", "latest_net_G_B.pth", "latest_state.pth"}
    for name, known in manifest["files"].items():
        listing = subprocess.run(["sha256sum", folder.path / name], capture_output=True, text=True, check=True).stdout
        assert listing.split()[0] == known["sha256"] and (folder.path / name).stat().st_size == known["bytes"]
    assert folder.describe_latest().endswith("000001 (epoch 3, image 8)")


@pytest.mark.parametrize("keep_last", [1, 2, 4])
def test_keep_last_bounds_snapshots_and_epochs_stay(folder: RunFolder, keep_last: int) -> None:
    for number in range(1, 7):
        save(folder, number, keep_last=keep_last, keep=[str(number)] if number % 2 == 0 else [])
    assert len(list_snapshots(folder.snapshots)) == keep_last
    labels = {path.name.split("_")[0] for path in folder.path.glob("*_net_*.pth")}
    assert labels == {"2", "4", "6", "latest"}
    for label in (2, 4, 6):
        assert load_file(folder.network_path(str(label), "G_A"))["weight"][0, 0] == label


@pytest.mark.usefixtures("linking")
def test_other_networks_under_the_public_names_are_never_paired_with_the_state(folder: RunFolder) -> None:
    for number in (1, 2):
        save(folder, number)
    torch.save(networks(9)["G_A"].state_dict(), folder.path / "mine.pth")
    os.replace(folder.path / "mine.pth", folder.network_path("latest", "G_A"))
    with pytest.raises(CheckpointError, match=r"latest_net_G_A\.pth was not saved by this run"):
        folder.resume(networks())
    filled, said = networks(), []
    folder.load_networks("latest", filled, said.append)
    assert numbers(filled) == {9, 2} and "is used as it is" in said[0]
    folder.network_path("latest", "G_A").unlink()
    assert resumed(folder) == 2 and public(folder) == {2}


def test_a_run_of_an_older_version_without_snapshots_goes_on(folder: RunFolder) -> None:
    folder.path.mkdir()
    for name, network in networks(5).items():
        torch.save(network.state_dict(), folder.network_path("latest", name))
    filled = networks()
    assert folder.resume(filled) is None and numbers(filled) == {5}
    torch.save({"number": 5}, folder.state_path)
    assert resumed(folder) == 5
    save(folder, 6)
    assert resumed(folder) == 6


def saver(folder: RunFolder, said: list[str]) -> Saver:
    return Saver(folder, networks(1), {}, Progress(10, 1), SavingOptions(), {}, lambda: None, said.append)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path], capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_too_little_space_is_noticed_before_anything_is_written(small_disk: Path) -> None:
    folder, said = RunFolder(small_disk, "run"), []
    saving = saver(folder, said)
    saving.save()
    assert saving.failed and "MiB are needed" in said[0] and "there is no checkpoint yet" in said[0]
    assert not list(folder.snapshots.iterdir())


def test_a_disk_that_fills_up_while_writing_keeps_the_last_good_checkpoint(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("util.run.snapshots.SPARE_BYTES", -(2**20))  # as under a quota, unknown before
    folder, said = RunFolder(small_disk, "run"), []
    saving = saver(folder, said)
    saving.save()
    assert not saving.failed and not said
    saving.networks = networks(2)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 20_000)
    saving.save()
    saving.save()
    assert saving.failed and len(said) == 2
    assert "No space left on device" in said[0] and "the last good checkpoint is" in said[0] and "000001" in said[0]
    filled = networks()
    folder.resume(filled)
    assert numbers(filled) == {1} and not list(folder.path.rglob("*.tmp"))
    filler.unlink()
    saving.save()
    assert not saving.failed and len(said) == 2
    folder.resume(filled)
    assert numbers(filled) == {2}

"""Checkpoint files: from the public code and from older releases, damaged, hostile, interrupted."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions
from util.device import random_state, restore_random_state, seed_everything
from util.files import atomic_path, write_text
from util.run.checkpoint import CheckpointError, load_file, load_network
from util.run.run_folder import RunFolder


def network(norm: str = "instance", ngf: int = 4) -> nn.Module:
    return create_generator(NetworkOptions(norm=norm), GeneratorOptions("resnet_2blocks", ngf))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_saved_network_is_a_plain_state_dict_that_loads_back(tmp_path: Path) -> None:
    saved, loaded = network(), network()
    folder = RunFolder(tmp_path, "run")
    folder.save({"G_A": saved}, {})
    assert {path.name for path in folder.path.iterdir()} == {"latest_net_G_A.pth", "latest_state.pth", "snapshots"}
    plain = torch.load(folder.path / "latest_net_G_A.pth", weights_only=True)
    assert list(plain) == list(saved.state_dict())
    folder.load_networks("latest", {"G_A": loaded})
    assert same(saved, loaded)


def test_old_files_load_data_parallel_prefix_running_statistics_and_old_format(tmp_path: Path) -> None:
    saved, loaded = network(), network()
    old = {f"module.{name}": value for name, value in saved.state_dict().items()}
    for layer in (2, 5, 8):
        channels = saved.state_dict()[f"model.{layer - 1}.bias"].shape
        old[f"module.model.{layer}.running_mean"] = torch.zeros(channels)
        old[f"module.model.{layer}.running_var"] = torch.ones(channels)
        old[f"module.model.{layer}.num_batches_tracked"] = torch.tensor(7)
    torch.save(old, tmp_path / "old.pth", _use_new_zipfile_serialization=False)  # the only format of torch 0.4 to 1.5
    load_network(loaded, tmp_path / "old.pth")
    assert same(saved, loaded)


def test_batch_norms_keep_their_statistics_and_get_a_missing_counter(tmp_path: Path) -> None:
    saved, loaded = network("batch"), network("batch")
    saved(torch.rand(2, 3, 16, 16))
    old = {name: value for name, value in saved.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    load_network(loaded, tmp_path / "old.pth")
    assert torch.equal(loaded.state_dict()["model.2.running_mean"], saved.state_dict()["model.2.running_mean"])
    assert loaded.state_dict()["model.2.num_batches_tracked"] == 0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"ngf": 8}, r"model.1.weight has shape \(8, 3, 7, 7\) in the file and \(4, 3, 7, 7\) here"),
        ({"norm": "batch"}, r"lacks model.1.bias.* and \d+ more; it has unknown"),
    ],
)
def test_a_file_of_another_network_says_how_it_differs(tmp_path: Path, other: dict, message: str) -> None:
    torch.save(network(**other).state_dict(), tmp_path / "other.pth")
    target = network()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_network(target, tmp_path / "other.pth")
    assert all(torch.equal(before[name], value) for name, value in target.state_dict().items())


def test_files_that_are_no_state_dict(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match=r"list\.pth contains list instead of"):
        load_network(network(), tmp_path / "list.pth")


class Dangerous:
    """Pickles to a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_needs_code_is_refused_with_an_explanation(tmp_path: Path, zipped: bool) -> None:
    content = {"weights": torch.zeros(1), "trap": Dangerous(tmp_path / "trap")}
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"evil\.pth is refused.*Python objects.*could execute code") as caught:
        load_file(tmp_path / "evil.pth")
    assert "mkdir" in str(caught.value), "says what it would have run"
    assert not (tmp_path / "trap").exists()


def test_whole_modules_are_refused_too(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 1, 1), tmp_path / "module.pth")
    with pytest.raises(CheckpointError, match=r"save only its state_dict\(\)"):
        load_file(tmp_path / "module.pth")


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "latest_net_G_A.pth")
    whole = (tmp_path / "latest_net_G_A.pth").read_bytes()
    for name, data in {"half": whole[: len(whole) // 2], "empty": b"", "text": b"hello " * 99}.items():
        (tmp_path / f"{name}.pth").write_bytes(data)
        with pytest.raises(CheckpointError, match=rf"{name}\.pth is damaged or not a checkpoint"):
            load_file(tmp_path / f"{name}.pth")
    with pytest.raises(CheckpointError, match=r"7_net_G_A\.pth does not exist; .* contains .*latest_net_G_A\.pth"):
        load_file(tmp_path / "7_net_G_A.pth")


def test_damaged_options_are_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "run")
    assert folder.read_options() == {}
    folder.write_options({"ngf": 4}, "table")
    assert folder.read_options() == {"ngf": 4} and (folder.path / "opt.txt").read_text() == "table\n"
    for text in ("{", json.dumps([1])):
        (folder.path / "opt.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"opt\.json is damaged"):
            folder.read_options()


def test_overwriting_deletes_a_runs_files_and_no_others(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "run")
    folder.save({"G_A": network()}, {"x": 1}, keep=["5", "iter_100"])
    folder.write_options({}, "")
    (folder.path / "notes.txt").write_text("mine")
    folder.clear()
    assert [path.name for path in folder.path.iterdir()] == ["notes.txt"]
    RunFolder(tmp_path, "absent").clear()


def test_a_failed_writer_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "before")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "file").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_every_generator_of_random_numbers_goes_on(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.standard_normal(), torch.rand(()).item()

    seed_everything(3)
    draw()
    torch.save(random_state(torch.device("cpu")), tmp_path / "state.pth")
    expected = [draw() for _ in range(3)]
    restore_random_state(load_file(tmp_path / "state.pth"), torch.device("cpu"))
    assert [draw() for _ in range(3)] == expected

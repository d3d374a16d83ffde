"""Several processes that train one model: real ones, on a CPU, with and without torchrun."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import distributed_checks
import numpy as np
import pytest
import torch
from processes import ENVIRONMENT, ROOT, TINY, Forked, fork, run, wait_until
from small_runs import same, weights

from data.loader import EpochSampler
from models.fast.speed import SpeedOptions
from models.layers import NetworkOptions, synchronise_batch_norms
from util.arguments import OptionError
from util.device import select_device
from util.distributed import ALONE, Place


def start_processes(count: int, script: str, *words: str | Path, folder: Path, **variables: str) -> list[Forked]:
    """So many processes that train together, as a launcher other than torchrun starts them; each prints into a file
    `process_RANK.txt` of `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    together = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        **variables,
    }
    started = []
    for rank in map(str, range(count)):
        output = folder / f"process_{rank}.txt"
        output.write_text("")
        started.append(fork(output, script, *words, variables={**together, "RANK": rank, "LOCAL_RANK": rank}))
    return started


def printed(folder: Path) -> list[str]:
    """What each of the processes last started in `folder` printed."""
    return [path.read_text() for path in sorted(folder.glob("process_*.txt"))]


def statuses(processes: list[Forked], seconds: float = 240) -> list[int]:
    try:
        return [process.wait(seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()


def run_processes(count: int, script: str, *words: str | Path, folder: Path, **variables: str) -> list[str]:
    """Run processes to their end; returns what each printed."""
    assert statuses(start_processes(count, script, *words, folder=folder, **variables)) == [0] * count, printed(folder)
    return printed(folder)


# ---- The parts


def draws(processes: int, size: int, batch_size: int, epoch: int = 1, start: int = 0) -> list[list[list[int]]]:
    """Positions by process, step and sample; batch_size: of each process."""
    every = []
    for rank in range(processes):
        place = Place(rank, processes) if processes > 1 else ALONE
        sampler = EpochSampler(size, batch_size * processes, seed=3, shuffle=True, place=place)
        sampler.epoch, sampler.start = epoch, start
        every.append([[draw.position for draw in batch] for batch in sampler])
        assert len(sampler) == len(every[-1])
    return every


@pytest.mark.parametrize(("processes", "size", "batch_size"), [(2, 16, 2), (2, 15, 2), (3, 7, 1), (4, 3, 2), (2, 1, 1)])
def test_processes_share_the_order_of_one(processes: int, size: int, batch_size: int) -> None:
    (alone,) = draws(1, size, 1, epoch=4)
    order = [position for batch in alone for position in batch]
    together = draws(processes, size, batch_size, epoch=4)
    assert len({len(batches) for batches in together}) == 1, "as many steps on each"
    assert {len(batch) for batches in together for batch in batches} == {batch_size}
    interleaved = [position for step in zip(*together, strict=True) for batch in step for position in batch]
    assert interleaved == [order[at % size] for at in range(len(interleaved))]
    assert size <= len(interleaved) < size + processes * batch_size


def test_processes_go_on_within_an_epoch_that_others_began() -> None:
    whole = draws(2, 16, 2)
    assert draws(2, 16, 2, start=8) == [batches[2:] for batches in whole]
    (alone,) = draws(1, 16, 1)
    assert np.ravel(alone[8:]).tolist() == np.ravel(draws(1, 16, 2, start=8)[0]).tolist()
    assert np.ravel(alone[8:]).tolist() == np.ravel(np.stack(draws(4, 16, 2, start=8), axis=1)).tolist()


def test_each_process_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("util.device.place", lambda: Place(5, 8, local_rank=1, local_processes=4))
    with pytest.raises(OptionError, match="each on its own GPU"):
        select_device("0")
    assert select_device("-1").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert select_device("auto") == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(OptionError, match="--nproc_per_node"):
        select_device("auto")


def test_there_are_no_cuda_graphs_with_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.fast.speed.place", lambda: Place(0, 2))
    monkeypatch.setattr("models.fast.speed.kernels_work", lambda device, dtype: "not here")
    speed = SpeedOptions("float32").resolve(torch.device("cuda"), training=True)
    assert not speed.cuda_graphs and "no CUDA graphs: several processes" in speed.describe()
    with pytest.raises(OptionError, match="--cuda_graphs"):
        SpeedOptions("float32", cuda_graphs="on").resolve(torch.device("cuda"), training=True)


def test_synchronised_batch_norms_keep_parameters_and_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="--sync_bn needs --norm batch"):
        NetworkOptions(sync_bn=True)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    weight, keys = network[1].weight, list(network.state_dict())
    synchronise_batch_norms([network], torch.device("cuda"))
    assert type(network[1]) is torch.nn.BatchNorm2d, "needless in a single process"
    monkeypatch.setattr("models.layers.place", lambda: Place(0, 2))
    with pytest.raises(OptionError, match="--sync_bn needs GPUs"):
        synchronise_batch_norms([network], torch.device("cpu"))
    synchronise_batch_norms([network], torch.device("cuda"))
    assert type(network[1]) is torch.nn.SyncBatchNorm
    assert network[1].weight is weight and list(network.state_dict()) == keys


@pytest.mark.parametrize(("count", "parts"), [(4, 2), (3, 2), (5, 4), (1, 2)])
def test_accumulated_parts_give_the_gradients_of_the_batch(count: int, parts: int) -> None:
    """Of any size, an epoch's last one too. Without pools: these draw for each part on its own."""
    batch = distributed_checks.photos(count)
    apart, joint = (distributed_checks.model_of(0, number, pool_size=0) for number in (parts, 1))
    losses, expected = apart.optimize(batch).losses, joint.optimize(batch).losses
    assert distributed_checks.largest_difference(apart, joint) < 1e-10
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}, rel=1e-12
    )


# ---- Two processes


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes found out (see distributed_checks.py)."""
    folder = tmp_path_factory.mktemp("checks")
    run_processes(2, "tests/distributed_checks.py", folder / "answers", folder=folder)
    return [json.loads((folder / f"answers.{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("mode", ["lsgan 1", "lsgan 2", "hinge 1", "hinge 2"])
def test_gradients_are_those_of_one_process_with_the_joint_batch(answers: list[dict[str, Any]], mode: str) -> None:
    """In float64, in one part and in two; the losses' mean is the joint batch's, too."""
    first, second = (answer["gradients"] for answer in answers)
    assert 0 < first[mode] < 1e-12 and 0 < second[mode] < 1e-12
    assert first[f"{mode} loss"] == second[f"{mode} loss"]
    assert first[f"{mode} loss"] == pytest.approx(first[f"{mode} joint loss"], rel=1e-12)


def test_weights_stay_equal_to_the_bit(answers: list[dict[str, Any]]) -> None:
    assert answers[0]["weights"]["differing"] == 0 and answers[0]["weights"]["entries"] > 1000
    assert answers[0]["weights"]["photos differ"] and answers[0]["weights"]["pools differ"]


def test_different_numbers_of_photos_are_told_by_all(answers: list[dict[str, Any]]) -> None:
    assert [answer["unequal"] for answer in answers] == ["not equal: 0, 1"] * 2


# ---- train.py


def words_for(faces: Path, folder: Path, *words: str) -> list[str | Path]:
    return [
        "--dataroot",
        faces,
        "--checkpoints_dir",
        folder,
        "--name",
        "run",
        *TINY.split(),
        *(
            "--dropout --pool_size 4 --max_dataset_size 16 --print_freq 4 --save_latest_freq 8 --no_html "
            "--n_epochs_decay 0 --precision float32"
        ).split(),
        *words,
    ]


def positions(folder: Path) -> list[int]:
    with (folder / "run" / "loss_log.csv").open() as file:
        return [int(row["total_images"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def straight(demo_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs on two processes, in one go."""
    folder = tmp_path_factory.mktemp("straight")
    run_processes(2, "train.py", *words_for(demo_faces, folder, "--n_epochs", "3"), folder=folder)
    return folder


def test_one_process_writes_and_speaks(straight: Path) -> None:
    main, other = printed(straight)
    assert "16 images per epoch, 2 per step (1 x 2 processes)" in main and "training finished at epoch 3" in main
    assert other == ""
    assert positions(straight) == list(range(4, 49, 4))
    log = (straight / "run" / "loss_log.txt").read_text().splitlines()
    assert len(log) == 1 + 12
    assert not [path for path in (straight / "run").iterdir() if path.name.startswith(".") and "tmp" in path.name]
    state = torch.load(straight / "run" / "latest_state.pth", weights_only=True)["model"]
    assert len(state["processes"]) == 1
    ours, theirs = state["pools"]["fake_A"]["images"], state["processes"][0]["pools"]["fake_A"]["images"]
    assert ours.shape == theirs.shape and not torch.equal(ours, theirs)
    assert not torch.equal(state["random"]["torch"], state["processes"][0]["random"]["torch"])


def worker_pids(torchrun: subprocess.Popen[str]) -> list[int]:
    """The processes that torchrun started, by rank."""
    children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    ranks = {}
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        ranks |= {int(word[5:]): int(child) for word in environment if word.startswith(b"RANK=")}
    return [ranks[rank] for rank in sorted(ranks)]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes by /proc")
def test_killed_restarted_stopped_and_continued_is_as_if_in_one_go(
    demo_faces: Path, straight: Path, tmp_path: Path
) -> None:
    """torchrun starts a run whose second process is killed, starts it again, and is told to stop. Then it goes on."""
    words = words_for(demo_faces, tmp_path, "--n_epochs", "3", "--continue_train")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        *"--standalone --nproc_per_node 2 --max_restarts 1".split(),
        str(ROOT / "train.py"),
        *map(str, words),
    ]
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        torchrun = subprocess.Popen(command, env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(lambda: "epoch 1/3 12/16" in output.read_text())
        os.kill(worker_pids(torchrun)[1], signal.SIGKILL)
        wait_until(lambda: "resuming" in output.read_text() and "epoch 2/3" in output.read_text())
        workers = worker_pids(torchrun)
        torchrun.send_signal(signal.SIGTERM)
        assert torchrun.wait(240) != 0
    finally:
        torchrun.kill()
    text = output.read_text()
    assert "contains no checkpoint to resume from: starting a new run" in text
    assert "stopped and saved at epoch" in text and "training finished" not in text
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)

    main, other = run_processes(2, "train.py", *words, folder=tmp_path)
    assert "resuming" in main and "number of processes has changed" not in main and other == ""
    assert same(weights(tmp_path / "run"), weights(straight / "run"))
    assert positions(tmp_path) == positions(straight)


def test_stopped_by_one_goes_on_alone_then_together_until_one_is_killed(demo_faces: Path, tmp_path: Path) -> None:
    words = words_for(demo_faces, tmp_path, "--n_epochs", "30")
    both = start_processes(2, "train.py", *words, folder=tmp_path)
    wait_until(lambda: "epoch 1/30 12/16" in printed(tmp_path)[0] or both[0].poll() is not None)
    both[1].send_signal(signal.SIGTERM)
    assert statuses(both) == [128 + signal.SIGTERM] * 2, printed(tmp_path)
    assert "stopped and saved at epoch" in printed(tmp_path)[0] and printed(tmp_path)[1] == ""

    alone = run("train.py", *words, "--continue_train", "--n_epochs", "3", "--accumulate", "2")
    assert "note: the number of processes has changed from 2 to 1: image pools start empty" in alone
    assert "16 images per epoch, 2 per step (1 x 2 micro-batches)" in alone and "training finished at epoch 3" in alone

    both = start_processes(2, "train.py", *words, "--continue_train", "--accumulate", "1", folder=tmp_path)
    wait_until(lambda: "epoch 4/30 8/16" in printed(tmp_path)[0] or both[0].poll() is not None)
    both[1].kill()
    assert statuses(both, 60) == [2, -signal.SIGKILL], printed(tmp_path)
    (main, _) = printed(tmp_path)
    assert "note: the number of processes has changed from 1 to 2" in main
    assert "train.py: error: another process of this training ended or no longer responds" in main


def test_what_all_would_complain_of_one_says(demo_faces: Path, tmp_path: Path) -> None:
    words = words_for(tmp_path / "missing", tmp_path)
    assert statuses(start_processes(2, "train.py", *words, folder=tmp_path)) == [2, 2]
    assert "".join(printed(tmp_path)).count("train.py: error: ") == 1


def test_a_restart_never_overwrites(demo_faces: Path, straight: Path, tmp_path: Path) -> None:
    words = words_for(demo_faces, straight, "--overwrite")
    variables = {"TORCHELASTIC_RESTART_COUNT": "1", "TORCHELASTIC_RUN_ID": "test"}
    assert statuses(start_processes(1, "train.py", *words, folder=tmp_path, **variables)) == [2]
    assert "--overwrite would delete its checkpoints" in printed(tmp_path)[0]
    assert (straight / "run" / "latest_state.pth").is_file()

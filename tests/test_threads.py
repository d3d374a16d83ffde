"""The number of threads for training: set by the user, chosen by a trial that is undone, kept when resuming."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from processes import ENVIRONMENT, TINY, start
from torch import Tensor

import models.fast.threads as threads_module
from models import create_model
from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from models.fast.threads import choose, measure, settle_threads, undone
from util.arguments import OptionError, build

CPU = torch.device("cpu")
EVERYTHING = {
    **{"netG": "resnet_1blocks", "ngf": 2, "ndf": 2, "netD": "pixel", "pool_size": 3, "ema": 0.9, "warm_up_D": 2},
    **{"dropout": True, "lambda_r1": 1.0, "r1_every": 2, "lazy_cycle": 2, "diffaug": True, "wrong_age": 0.3},
}
"""All that a step can leave behind."""


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose torch would use two threads, and a user who has not said anything about it."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def model_of(**options: object) -> CycleGANModel:
    torch.manual_seed(0)
    model = create_model("cycle_gan", build(CycleGANOptions, EVERYTHING | options), CPU, training=True)
    assert isinstance(model, CycleGANModel)
    return model


def photos(size: int = 16) -> Iterator[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    while True:
        yield {name: torch.rand((2, 3, size, size), generator=generator) * 2 - 1 for name in "AB"}


def force(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Let the trial take its steps, and find that a step with so many threads takes so long."""

    def measured(step: object, counts: list[int]) -> dict[int, float]:
        measure(step, counts)  # type: ignore[arg-type]
        return {1: seconds["one"], 2: seconds["two"]}

    monkeypatch.setattr(threads_module, "TRIAL_SECONDS", 0.2)
    monkeypatch.setattr(threads_module, "measure", measured)


def trained(model: CycleGANModel, steps: int = 3) -> dict[str, Tensor]:
    """The weights after some steps, and the losses of the last."""
    batches = photos()
    for _ in range(steps):
        step = model.optimize(next(batches))
    weights = {
        f"{name}.{key}": value.clone()
        for name, network in model.networks.items()
        for key, value in network.state_dict().items()
    }
    return weights | step.losses


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("count", [1, 2])
def test_a_trial_changes_nothing_but_the_number_of_threads(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told = model_of(cpu_threads=count)
    settle_threads(told, photos, None, print)
    expected = trained(told)

    force(monkeypatch, one=0.3, two=0.1 if count == 2 else 0.9)
    torch.set_num_threads(2)
    tried = model_of()
    assert settle_threads(tried, photos, None, print).count == torch.get_num_threads() == count
    assert same(trained(tried), expected)


def test_a_trial_in_the_midst_of_a_run_changes_nothing_either() -> None:
    torch.set_num_threads(1)
    expected = model_of()
    trained(expected)
    weights = trained(expected)
    model = model_of()
    trained(model)
    with undone(model):
        trained(model)
    assert same(trained(model), weights)


def test_the_fewest_threads_that_are_about_as_fast_are_chosen_and_the_reason_said() -> None:
    assert choose({1: 0.08, 2: 0.31}).count == 1
    assert choose({1: 0.08, 2: 0.31}).reason == (
        "a step takes 0.08 s with 1 and 0.31 s with 2: other processes seem to be busy"
    )
    assert choose({1: 8.0, 2: 4.3}).reason == "a step takes 8 s with 1 and 4.3 s with 2"
    assert choose({1: 8.0, 2: 4.3}).count == 2
    assert choose({1: 0.1, 2: 0.09}).reason.endswith(": more threads gain too little")
    assert choose({1: 8.0, 8: 1.1, 15: 1.0, 16: 2.4}).count == 8


def test_the_option_and_the_environment_are_obeyed_without_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Iterator[dict[str, Tensor]]:
        raise AssertionError("no photo is needed")

    model = model_of(cpu_threads=1)
    assert settle_threads(model, none, None, print).count == torch.get_num_threads() == 1
    assert model.speed.describe().endswith("; threads: 1 of 2 (as --cpu_threads says)")

    torch.set_num_threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    model = model_of()
    assert settle_threads(model, none, None, print).count == torch.get_num_threads() == 2
    assert model.speed.describe().endswith("; threads: 2 of 2 (as OMP_NUM_THREADS says)")

    lines: list[str] = []
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    assert settle_threads(model_of(), none, {"count": 2}, lines.append).count == 1
    assert lines == ["note: the run used 2 threads before and uses 1 now; results agree with those of 2 up to rounding"]
    with pytest.raises(OptionError, match="--cpu_threads -1: must be at least 0"):
        build(CycleGANOptions, {"cpu_threads": -1})


def train(folder: Path, faces: Path, *words: str, environment: dict[str, str]) -> str:
    """Run train.py on two cores, if the machine has them, and return what it printed."""
    short = "--max_dataset_size 8 --n_epochs 1 --n_epochs_decay 1 --no_html --name run --batch_size 2"
    process = start(
        "train.py",
        *("--dataroot", faces, "--checkpoints_dir", folder, *TINY.split(), *short.split(), *words),
        environment=environment,
    )
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    return printed


def speed_of(printed: str) -> str:
    return next(line for line in printed.splitlines() if line.startswith("speed: "))


@pytest.mark.slow
def test_a_resumed_run_keeps_its_number(demo_faces: Path, tmp_path: Path) -> None:
    free = {name: value for name, value in ENVIRONMENT.items() if name != "OMP_NUM_THREADS"}
    first = train(tmp_path, demo_faces, environment=free)
    if len(os.sched_getaffinity(0)) > 1:
        assert "choosing the number of threads by" in first and " of " in speed_of(first)
    count = torch.load(tmp_path / "run" / "latest_state.pth", weights_only=True)["threads"]["count"]
    assert f"({count} threads of" in first
    again = train(tmp_path, demo_faces, "--continue_train", "--n_epochs", "2", environment=free)
    assert f"threads: {count} of " in speed_of(again) and speed_of(again).endswith("(as before)")
    assert "choosing the number of threads" not in again

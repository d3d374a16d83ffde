"""Losses and weights that are not finite, on a model in this process; tests/test_faults.py has whole runs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models import create_model
from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from models.fast.speed import SPEEDUPS
from models.guard import DivergedError, Guard, GuardOptions
from util.arguments import build
from util.run.progress import Progress

SMALL = {"netG": "resnet_1blocks", "ngf": 4, "ndf": 4, "netD": "pixel", "dropout": True, "pool_size": 3}


def model(**settings: Any) -> CycleGANModel:
    torch.manual_seed(0)
    made = create_model("cycle_gan", build(CycleGANOptions, {**SMALL, **settings}), torch.device("cpu"), training=True)
    assert isinstance(made, CycleGANModel)
    return made


def batch(number: int, value: float | None = None) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(number)
    images = {domain: torch.rand(2, 3, 16, 16, generator=generator) for domain in "AB"}
    if value is not None:
        images["B"][0, 0, 0, 0] = value
    paths = {f"{domain}_paths": [Path(f"{domain}{number}.png"), Path(f"{domain}{number}b.png")] for domain in "AB"}
    return {**images, **paths}


def tensors(value: object) -> Iterator[Tensor | float | str | None]:
    if isinstance(value, dict):
        for key in value:
            yield from tensors(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)
    else:
        yield value  # type: ignore[misc]


def same(ours: object, theirs: object) -> bool:
    pairs = list(zip(tensors(ours), tensors(theirs), strict=True))
    return all(torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b for a, b in pairs)


def weights_and_moments(of: CycleGANModel) -> dict[str, Any]:
    networks = {name: network.state_dict() for name, network in of.networks.items()}
    return {**networks, "moments": [own.optimizer.state_dict()["state"] for own in of.optimizations.values()]}


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("speedups", ["all", "none"])
def test_a_skipped_step_leaves_weights_and_moments_as_they_are(steps: int, speedups: str) -> None:
    said: list[str] = []
    subject = model(speedups=() if speedups == "none" else tuple(SPEEDUPS))
    guarded = guard("skip", subject, 1000, said)
    run(guarded, *[batch(number) for number in range(steps)])
    before = copy.deepcopy(weights_and_moments(subject))
    guarded.progress.advance(2)
    step = guarded.optimize(batch(99, float("nan")))
    after = weights_and_moments(subject)
    if steps:
        assert same(before, after)
    else:  # Adam makes its moments in the first step
        assert same(before["G_A"], after["G_A"]) and same(before["D_B"], after["D_B"])
    assert not step.losses and len(said) == 1 and "B99.png" in said[0]
    run(guarded, batch(50))
    assert len(said) == 1 and not same(before["G_A"], weights_and_moments(subject)["G_A"])
    subject.end_epoch()


def guard(mode: str, subject: CycleGANModel, every: int, said: list[str], **settings: Any) -> Guard:
    settings = {"latest": lambda: "", **settings}
    return Guard(GuardOptions(mode), subject, Progress(100, 1), every=every, say=said.append, **settings)


def run(guarded: Guard, *batches: dict[str, Any]) -> None:
    for one in batches:
        guarded.progress.advance(2)
        guarded.optimize(one)


def test_the_first_bad_step_is_named_though_it_is_looked_for_later() -> None:
    guarded = guard("stop", model(), 12, [], latest=lambda: "snapshots/000003")
    batches = [batch(number, float("inf") if number == 3 else None) for number in range(6)]
    with pytest.raises(DivergedError, match=r"image 8:.* nan.*B3\.png.*last good checkpoint is snapshots/000003") as e:
        run(guarded, *batches)
    assert guarded.progress.epoch_images == 12 and "B2.png" not in str(e.value) and "B4.png" not in str(e.value)


def test_weights_that_a_finite_loss_spoiled_are_noticed_too() -> None:
    subject = model()
    guarded = guard("stop", subject, 1000, [])
    run(guarded, batch(0), batch(1))
    with torch.no_grad():
        next(subject.D_B.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(DivergedError, match=r"weights are not finite after epoch 1, image 4, on A1\.png.*no check"):
        guarded.check()


def test_no_step_waits_for_the_device_between_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    for name in ("tolist", "item", "__bool__", "__float__", "cpu", "numpy"):
        original = getattr(Tensor, name)

        def noted(self: Tensor, *rest: Any, original: Any = original, name: str = name, **settings: Any) -> Any:
            waits.append(name)
            return original(self, *rest, **settings)

        monkeypatch.setattr(Tensor, name, noted)
    subject = model()
    guarded = guard("stop", subject, 1000, [])
    monkeypatch.setattr(subject, "optimize", lambda batch: step)
    step = CycleGANModel.optimize(subject, batch(0))
    waits.clear()
    run(guarded, *[batch(0)] * 150)
    assert waits == []
    guarded.check()
    assert waits == ["tolist"]


def test_steps_that_are_all_bad_stop_even_a_run_that_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    subject = model()
    guarded = guard("skip", subject, 100, said)
    bad = CycleGANModel.optimize(subject, batch(0, float("nan")))
    monkeypatch.setattr(subject, "optimize", lambda batch: bad)
    with pytest.raises(DivergedError, match="100 steps before were skipped"):
        run(guarded, *[batch(0)] * 101)
    assert len(said) == 100 and "100 skipped in total" in said[-1]

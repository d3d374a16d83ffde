"""Learning-rate curves of the four policies, against torch's own schedules."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.optim import lr_scheduler

from models.schedules import Schedule, ScheduleOptions
from util.arguments import OptionError, build


def curve(options: ScheduleOptions, losses: list[float]) -> list[float]:
    """The learning rate of each epoch, given the mean losses at their ends."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=99.0)
    schedule = Schedule(optimizer, options)
    rates = [optimizer.param_groups[0]["lr"]]
    for loss in losses[:-1]:
        schedule.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def torch_curve(make_schedule, losses: list[float], lr: float = 0.0002) -> list[float]:  # type: ignore[no-untyped-def]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule = make_schedule(optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    for loss in losses[:-1]:
        optimizer.step()
        schedule.step(*([loss] if isinstance(schedule, lr_scheduler.ReduceLROnPlateau) else []))
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def test_linear_is_constant_then_falls_to_zero_beyond_the_last_epoch() -> None:
    rates = curve(ScheduleOptions(), [1.0] * 200)
    assert rates[:100] == [0.0002] * 100
    assert rates[100] == pytest.approx(0.0002 * 100 / 101)
    assert rates[199] == pytest.approx(0.0002 * 1 / 101)
    public = torch_curve(lambda o: lr_scheduler.LambdaLR(o, lambda e: 1.0 - max(0, e + 1 - 100) / 101.0), [1.0] * 200)
    assert rates == pytest.approx(public)


def test_step_is_a_tenth_every_lr_decay_iters() -> None:
    options = ScheduleOptions(lr_policy="step", lr_decay_iters=7)
    expected = torch_curve(lambda o: lr_scheduler.StepLR(o, step_size=7, gamma=0.1), [1.0] * 30)
    assert curve(options, [1.0] * 30) == pytest.approx(expected)


def test_cosine_falls_over_all_epochs_and_does_not_rise_again() -> None:
    options = ScheduleOptions(lr_policy="cosine", n_epochs=12, n_epochs_decay=8)
    expected = torch_curve(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=20), [1.0] * 20)
    rates = curve(options, [1.0] * 20)
    assert rates == pytest.approx(expected)
    assert all(later < earlier for earlier, later in pairwise(rates))


def test_plateau_falls_to_a_fifth_when_the_loss_stops_falling() -> None:
    losses = [1 / (n + 1) for n in range(8)] + [0.2] * 9 + [0.1] * 3 + [0.0999] * 14
    expected = torch_curve(
        lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="min", factor=0.2, threshold=0.01, patience=5), losses
    )
    assert curve(ScheduleOptions(lr_policy="plateau"), losses) == pytest.approx(expected)
    assert len(set(expected)) >= 3, "the case has no plateau in it"


def test_epoch_count_begins_in_the_middle_of_the_curve() -> None:
    whole = curve(ScheduleOptions(n_epochs=3, n_epochs_decay=5), [1.0] * 8)
    late = curve(ScheduleOptions(n_epochs=3, n_epochs_decay=5, epoch_count=6), [1.0] * 3)
    assert late == whole[5:]


@pytest.mark.parametrize("policy", ["linear", "step", "cosine", "plateau"])
def test_a_restored_schedule_follows_the_same_curve(policy: str) -> None:
    options = ScheduleOptions(lr_policy=policy, n_epochs=4, n_epochs_decay=8, lr_decay_iters=3)
    losses = [1.0] * 12
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    first = Schedule(optimizer, options)
    for loss in losses[:5]:
        first.step(loss)
    second = Schedule(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), options)
    second.load_state_dict(first.state_dict())
    rates = [second.optimizer.param_groups[0]["lr"]]
    for loss in losses[5:-1]:
        second.step(loss)
        rates.append(second.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx(curve(options, losses)[5:])


def test_another_rate_or_length_holds_from_where_a_run_continues() -> None:
    first = Schedule(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), ScheduleOptions(n_epochs=2))
    for _ in range(4):
        first.step(1.0)
    options = ScheduleOptions(n_epochs=10, lr=0.5)
    second = Schedule(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), options)
    second.load_state_dict(first.state_dict())
    assert second.optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_epochs": -1},
        {"n_epochs": 0, "n_epochs_decay": 0},
        {"epoch_count": 0},
        {"lr": 0.0},
        {"lr": math.nan},
        {"beta1": 1.0},
        {"lr_decay_iters": 0},
    ],
)
def test_impossible_values_name_their_flag(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="--" + next(iter(wrong))):
        build(ScheduleOptions, wrong)

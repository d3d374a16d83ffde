"""A new model is one file and one line: this one is defined here, registered here, and does all that CycleGAN does."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import TINY
from torch import Tensor
from torch.nn import functional as F

import test as test_command
import train
from models import MODELS
from models.base_model import BaseModel, Step
from models.fast.speed import SpeedOptions, accelerate
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions
from models.optimization import Optimization
from models.schedules import ScheduleOptions
from util.arguments import option, section

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@dataclass(frozen=True)
class BrightnessOptions:
    """brightness of the other domain"""

    network: NetworkOptions = section(NetworkOptions)
    generator: GeneratorOptions = section(GeneratorOptions)
    schedule: ScheduleOptions = section(ScheduleOptions, train_only=True)
    speed: SpeedOptions = section(SpeedOptions)
    lambda_bright: float = option(1.0, help="weight of the brightness", train_only=True)
    channels = property(lambda self: {"A": 3, "B": 3})
    teachers = property(lambda self: {})


class BrightnessModel(BaseModel):
    """Makes photos of A as bright as those of B."""

    options_class = BrightnessOptions

    def __init__(self, options: BrightnessOptions, device: torch.device, *, training: bool = False, **settings: Any):
        super().__init__(options, device, training=training)
        self.weight, self.speed = options.lambda_bright, options.speed.resolve(device, training=training)
        self.networks = {"G": create_generator(options.network, options.generator).to(device)}
        accelerate(self.networks["G"], self.speed)
        if training:
            self.optimizations = {"G": Optimization(self.networks.values(), options.schedule, device, self.speed)}

    @torch.no_grad()
    def translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        domain = "A" if "A" in batch else "B"
        return {f"real_{domain}": batch[domain], f"bright_{domain}": self.networks["G"](batch[domain])}

    def optimize(self, batch: Mapping[str, Any]) -> Step:
        fake = self.networks["G"](batch["A"])
        losses = {"bright": self.weight * F.mse_loss(fake.mean(), batch["B"].mean())}
        self.optimizations["G"].begin()
        self.optimizations["G"].backward(losses)
        self.optimizations["G"].step()
        return self.report(losses, {"fake": fake})


def test_a_second_model_is_trained_shown_saved_resumed_and_listed(
    demo_faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(MODELS, "brightness", BrightnessModel)

    def call(command: Any, *words: str | Path) -> str:
        options = ["--model", "brightness", "--dataroot", demo_faces, "--checkpoints_dir", tmp_path, "--name", "run"]
        monkeypatch.setattr(sys, "argv", ["command", *map(str, options), *map(str, words)])
        command()
        return capsys.readouterr().out

    tiny = TINY.replace("--ndf 4", "").split()
    first = ["--n_epochs", "1", "--n_epochs_decay", "0", "--print_freq", "8", "--update_html_freq", "8"]
    output = call(train.main, *tiny, *first, "--tensorboard", "--lambda_bright", "2", "--save_epoch_freq", "1")
    assert "| bright " in output, "on the console"
    run = tmp_path / "run"
    assert " bright: " in (run / "loss_log.txt").read_text()
    rows = list(csv.DictReader((run / "loss_log.csv").open()))
    assert [row["total_images"] for row in rows] == ["8", "16", "24", "32", "40"] and float(rows[0]["bright"]) > 0
    assert (run / "web" / "index.html").is_file() and list((run / "web" / "images").glob("epoch001_A0*"))
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("loss/bright")) == 5

    output = call(train.main, "--continue_train", "--n_epochs", "2")
    assert "resuming" in output and "at epoch 2, image 0" in output
    rows = list(csv.DictReader((run / "loss_log.csv").open()))
    assert rows[-1]["total_images"] == "80"
    assert (run / "1_net_G.pth").is_file() and (run / "latest_net_G.pth").is_file()

    call(test_command.main, "--results_dir", tmp_path / "results", "--num_test", "2")
    assert len(list((tmp_path / "results" / "run" / "latest_test" / "images").glob("*_bright_[AB].png"))) == 4

    with pytest.raises(SystemExit):
        call(train.main, "--help")
    shown = capsys.readouterr().out
    assert "--lambda_bright LAMBDA" in shown and "--lambda_identity LAMBDA" not in shown

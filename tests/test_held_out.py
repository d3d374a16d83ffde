"""What a training says of held-out faces meanwhile, and which networks it keeps for that."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from measured_faces import LevelEstimator, face, instruments, write_estimator
from processes import fork, run, wait_until
from small_runs import reports, same, weights
from torch import Tensor

from evaluation.held_out import Best, HeldOut
from evaluation.instruments import Instruments
from models.base_model import BaseModel

CPU = torch.device("cpu")
YOUNG, OLD = 25, 55


def photos(people: range, age: int) -> Tensor:
    faces = np.stack([face(person, age) for person in people])
    return torch.from_numpy(faces).permute(0, 3, 1, 2) / 127.5 - 1


PHOTOS = {"A": photos(range(6), YOUNG), "B": photos(range(6, 12), OLD)}


class Shifting(BaseModel):
    """Changes the age that LevelEstimator sees by so many years in each direction, for faces of some people only."""

    def __init__(self, years_A: float, years_B: float, swaps: bool = False) -> None:
        super().__init__(None, CPU)
        self.years, self.swaps = {"A": years_A, "B": years_B}, swaps
        self.networks = {"G_A": torch.nn.Dropout()}

    def translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        assert not self.networks["G_A"].training
        ((domain, images),) = batch.items()
        made = images + self.years[domain] / 50 * (1 if domain == "A" else -1)
        return {f"real_{domain}": images, "fake_B" if domain == "A" else "fake_A": made.flip(3) if self.swaps else made}


def held_out(tmp_path: Path | None = None) -> HeldOut:
    if tmp_path is not None:
        return HeldOut(PHOTOS, instruments(tmp_path), CPU)
    estimators, paths = {"level": LevelEstimator()}, {"level": Path("level")}
    return HeldOut(PHOTOS, Instruments(estimators, paths, None, None), CPU)  # type: ignore[arg-type]


def test_years_in_both_directions_and_the_score() -> None:
    measured = held_out()
    values = measured.measure(Shifting(10, 20))
    assert values["years_A"] == pytest.approx(10, abs=0.1) and values["years_B"] == pytest.approx(20, abs=0.1)
    assert values["gender_A"] == values["gender_B"] == 1 and values["score"] == pytest.approx(15, abs=0.1)
    assert measured.measure(Shifting(0, 0))["score"] == pytest.approx(0, abs=0.01)
    assert measured.measure(Shifting(-10, 20))["score"] == pytest.approx(5, abs=0.1)
    assert measured.measure(Shifting(40, 30))["score"] == pytest.approx(30, abs=0.1)  # what is too much adds nothing


def test_years_do_not_count_where_the_person_is_lost(tmp_path: Path) -> None:
    measured = held_out(tmp_path)
    kept, lost = measured.measure(Shifting(10, 10)), measured.measure(Shifting(10, 10, swaps=True))
    assert kept["verified_A"] == kept["verified_B"] == 1 and kept["cosine_A"] == pytest.approx(1, abs=1e-3)
    assert lost["verified_A"] == lost["verified_B"] == 0 and lost["years_A"] == pytest.approx(10, abs=0.1)
    assert kept["score"] == pytest.approx(10, abs=0.1) and lost["score"] == 0


def test_discriminators_at_chance_are_seen() -> None:
    class Telling(Shifting):
        """Told apart: as many of a batch's old photos as are brighter than a level."""

        def told_apart(self, batch: Mapping[str, Any]) -> dict[str, float]:
            assert len(batch["A"]) == len(batch["B"])
            right = [batch["A"].mean(dim=(1, 2, 3)) < 0, batch["B"].mean(dim=(1, 2, 3)) > 0]
            return {"D_A": float(torch.cat(right).float().mean()), "D_B": 0.5}

    values = held_out().measure(Telling(0, 0))
    assert values["apart_D_A"] == 1 and values["apart_D_B"] == 0.5
    assert not any(name.startswith("apart") for name in held_out().measure(Shifting(0, 0)))


def test_networks_are_left_in_the_mode_that_they_were_in() -> None:
    model = Shifting(1, 1)
    held_out().measure(model)
    assert model.networks["G_A"].training


def test_the_best_is_remembered_as_long_as_it_can_be_compared() -> None:
    best = Best("by this")
    assert best.improved(1.0, 1) and not best.improved(0.5, 2) and not best.improved(float("nan"), 3)
    for of, expected in (("by this", 1.0), ("", 1.0), ("by that", float("-inf"))):
        other = Best(of)
        other.load_state_dict(best.state_dict())
        assert other.score == expected


SMALL = [
    *("--load_size", "36", "--crop_size", "32", "--ngf", "2", "--ndf", "2", "--netG", "resnet_1blocks"),
    *("--netD", "pixel", "--num_threads", "0", "--no_visdom", "--gpu_ids", "-1", "--batch_size", "2"),
    *("--max_dataset_size", "12", "--n_epochs", "2", "--n_epochs_decay", "2", "--dropout", "--lr", "0.01"),
    *("--print_freq", "2", "--save_latest_freq", "4", "--save_epoch_freq", "1", "--name", "run"),
]
"""Four epochs of six steps."""


@pytest.fixture(scope="module")
def estimator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_estimator(tmp_path_factory.mktemp("estimator") / "ages.pth", seed=3, spread=1.0)


def test_a_run_measures_shows_and_keeps_the_best(demo_faces: Path, estimator: Path, tmp_path: Path) -> None:
    words = ["--dataroot", str(demo_faces), *SMALL]
    measuring = ["--eval_freq", "1", "--eval_faces", "5", "--age_estimator", str(estimator), "--face_model", "none"]
    whole, plain, broken = tmp_path / "whole", tmp_path / "plain", tmp_path / "broken"
    for folder in (whole, plain, broken):
        folder.mkdir()
    output = run("train.py", *words, *measuring, "--tensorboard", "--checkpoints_dir", str(whole))
    measured = reports(whole / "run" / "held_out.csv")
    assert [row["epoch"] for row in measured] == ["1", "2", "3", "4"]
    scores = [float(row["score"]) for row in measured]
    assert len(set(scores)) == 4 and output.count("held-out faces: years_A") == 4
    apart = [float(row[name]) for row in measured for name in ("apart_D_A", "apart_D_B")]
    assert all(0 <= share <= 1 for share in apart) and output.count("apart_D_B") == 4
    assert same(weights(whole / "run", "best"), weights(whole / "run", str(1 + int(np.argmax(scores)))))
    log = (whole / "run" / "loss_log.txt").read_text()
    assert log.count("held out) years_A: ") == 4
    page = (whole / "run" / "web" / "index.html").read_text()
    assert 'src="held_out.png"' in page and (whole / "run" / "web" / "held_out.png").stat().st_size > 5000

    # Neither measuring nor the page's fixed faces change anything, and a resumed run has measured just as often.
    run("train.py", *words, "--no_html", "--checkpoints_dir", str(plain))
    assert (
        same(weights(plain / "run", "latest"), weights(whole / "run", "latest"))
        and not (plain / "run" / "held_out.csv").exists()
    )
    process = fork(broken / "output.txt", "train.py", *words, *measuring, "--checkpoints_dir", str(broken))
    (broken / "output.txt").touch()
    wait_until(lambda: "epoch 2/4, held-out faces" in (broken / "output.txt").read_text())
    process.kill()
    assert process.wait() == -signal.SIGKILL
    run("train.py", *words, *measuring, "--checkpoints_dir", str(broken), "--continue_train")
    assert reports(broken / "run" / "held_out.csv") == measured
    assert same(weights(broken / "run", "best"), weights(whole / "run", "best"))
    lines = (broken / "run" / "loss_log.txt").read_text()
    assert lines.count("held out) years_A: ") == 4


def test_what_is_missing_is_told_before_the_first_step(demo_faces: Path, estimator: Path, tmp_path: Path) -> None:
    words = ["--dataroot", str(demo_faces), *SMALL, "--eval_freq", "1", "--checkpoints_dir", str(tmp_path)]
    printed = run("train.py", *words, "--age_estimator", str(tmp_path / "none.pth"), status=2)
    assert "none.pth does not exist" in printed
    printed = run("train.py", *words, "--age_estimator", str(estimator), "--eval_phase", "val", status=2)
    assert "valA is not a folder" in printed

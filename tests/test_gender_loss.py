"""The loss on a change of gender."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from measured_faces import write_estimator
from test_cycle_gan import photos, small_model
from torch import Tensor

from models.age_estimator import Logits
from models.cycle_gan_model import CycleGANOptions
from models.gender_loss import GenderLoss
from util.arguments import build

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_estimator(tmp_path_factory.mktemp("teacher") / "teacher.pth", 1)


class BrightIsMale:
    """Takes the mean of an image for the logit of being male."""

    def logits(self, images: Tensor) -> Logits:
        level = images.mean(dim=(1, 2, 3))
        return Logits(level, level, level)


def test_the_loss_is_what_the_log_odds_lose(teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.gender_loss.augment", lambda images: images)
    loss = GenderLoss(teacher, 2.0, CPU)
    loss.estimator = BrightIsMale()  # type: ignore[assignment]
    man, woman = torch.full((2, 3, 8, 8), 0.5), torch.full((2, 3, 8, 8), -0.5)
    assert loss(man, woman).item() == loss(woman, man).item() == pytest.approx(2.0)
    assert loss(man, man / 2).item() == pytest.approx(2 * 0.25)
    assert loss(man, 2 * man).item() == loss(woman, 2 * woman).item() == 0, "clearer than the photo"
    fake = woman.clone().requires_grad_()
    loss(man, fake).backward()
    assert fake.grad is not None and (fake.grad < 0).all(), "brighter is more like the photo"


def test_photo_and_translation_are_seen_in_the_same_parts(teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, seen = GenderLoss(teacher, 1.0, CPU), []
    monkeypatch.setattr(loss.estimator, "logits", lambda images: seen.append(images) or BrightIsMale().logits(images))
    faces = torch.rand(2, 3, 32, 32) + 1
    assert loss(faces, faces).item() == 0
    assert torch.equal(*seen) and (seen[0] == 0).any()


def test_it_is_two_more_losses_by_the_estimator_of_the_features(teacher: Path) -> None:
    model, without = (small_model(lambda_gender=weight, features=teacher) for weight in (3.0, 0.0))
    before = {name: value.clone() for name, value in model.gender_loss.estimator.state_dict().items()}
    losses, others = model.optimize(photos()).losses, without.optimize(photos()).losses
    assert set(losses) - set(others) == {"gender_A", "gender_B"}
    assert losses["cycle_A"].item() == pytest.approx(others["cycle_A"].item(), rel=1e-5)
    ours, theirs = (next(each.G_A.parameters()).grad for each in (model, without))
    assert not torch.allclose(ours, theirs)
    assert all(torch.equal(value, before[name]) for name, value in model.gender_loss.estimator.state_dict().items())


def test_its_estimator_is_one_of_the_teachers_whom_evaluation_refuses(teacher: Path) -> None:
    assert build(CycleGANOptions, {"lambda_gender": 1.0, "features": teacher}).teachers == {"features": teacher}
    assert build(CycleGANOptions, {"features": teacher}).teachers == {}

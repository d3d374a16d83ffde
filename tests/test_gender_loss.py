"""The loss on a change of gender, and discriminators that know the gender."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from measured_faces import write_estimator
from test_cycle_gan import photos, small_model
from torch import Tensor

from models.age_estimator import Logits
from models.cycle_gan_model import CycleGANOptions
from models.gender_loss import GenderLabel, GenderLoss
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


@pytest.mark.parametrize("netD", ["basic", "projected"])
def test_discriminators_are_told_the_gender_on_the_photo(netD: str, teacher: Path) -> None:
    """A translation has the label of its photo, also if it comes from the image pool."""
    model = small_model(condition_D="gender", netD=netD, features=teacher, pool_size=1)
    model.gender_label.estimator = BrightIsMale()
    batch = photos()
    man, woman = {"A": batch["A"].abs(), "B": -batch["B"].abs()}, {"A": -batch["A"].abs(), "B": batch["B"].abs()}
    seen: list[Tensor] = []
    model.D_A.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    for batch in (man, woman, man):
        model.optimize(batch)
    assert all((images[:, 3] == images[:, 3, :1, :1]).all() for images in seen)
    judged, real, pooled = (torch.cat(seen[start::3]) for start in range(3))
    assert judged[:, 3, 0, 0].sign().tolist() == [1, 1, -1, -1, 1, 1]
    assert real[:, 3, 0, 0].tolist() == [-1, -1, 1, 1, -1, -1]
    for image in pooled:
        assert any(torch.equal(image, earlier) for earlier in judged), "with the label that it was judged with"
    others = torch.cat([seen[0][:, :3], -seen[0][:, 3:]], dim=1)
    assert not torch.allclose(model.D_A(seen[0]), model.D_A(others)), "they can make use of it"


def test_the_label_has_the_size_of_the_photo_and_the_estimators_gender(teacher: Path) -> None:
    label = GenderLabel(teacher, CPU)
    faces = torch.rand(4, 3, 40, 32) * 2 - 1
    expected = torch.where(label.estimator.logits(faces).male > 0, 1.0, -1.0)
    assert label(faces).shape == (4, 1, 40, 32) and torch.equal(label(faces)[:, 0, 5, 5], expected)


def test_a_model_whose_discriminators_know_the_gender_names_its_teacher_and_resumes(teacher: Path) -> None:
    assert build(CycleGANOptions, {"condition_D": "gender", "features": teacher}).teachers == {"features": teacher}
    model, resumed = (small_model(condition_D="gender", features=teacher) for _ in range(2))
    model.optimize(photos(0))
    resumed.load_state_dict(model.state_dict())
    for name, network in model.networks.items():
        resumed.networks[name].load_state_dict(network.state_dict())
    ours, theirs = (each.optimize(photos(1)).losses for each in (model, resumed))
    assert {name: value.item() for name, value in ours.items()} == {
        name: value.item() for name, value in theirs.items()
    }

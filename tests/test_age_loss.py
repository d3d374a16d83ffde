"""Training against an age estimator: the loss, what it does, and that nobody measures by the same estimator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from measured_faces import LevelEstimator, write_estimator
from processes import run
from torch import Tensor

from models.age_loss import AgeLoss
from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from util.arguments import OptionError, build
from util.files import sha256_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_estimator(tmp_path_factory.mktemp("teacher") / "teacher.pth", 1)


def at_age(years: float) -> Tensor:
    """Flat images of the brightness that LevelEstimator takes for that age."""
    return torch.full((2, 3, 8, 8), years / 50 - 1)


def test_the_loss_is_the_distance_from_30_years(teacher: Path) -> None:
    loss = AgeLoss(teacher, 2.0, CPU)
    loss.estimator = LevelEstimator()  # type: ignore[assignment]
    young, old = at_age(25), at_age(55)
    assert loss(young, young, older=True).item() == pytest.approx(2.0, abs=1e-4)
    assert loss(young, old, older=True).item() == pytest.approx(0.0, abs=1e-4)
    assert loss(old, young, older=False).item() == pytest.approx(0.0, abs=1e-4)
    assert loss(young, old, older=False).item() == pytest.approx(4.0, abs=1e-4)
    fake = at_age(30).requires_grad_()
    loss(young, fake, older=True).backward()
    assert fake.grad is not None and (fake.grad < 0).all()  # brighter is older here


def model_with(teacher: Path | None, weight: float = 1.0) -> CycleGANModel:
    torch.manual_seed(0)
    options = {
        "netG": "resnet_1blocks",
        "ngf": 4,
        "ndf": 4,
        "precision": "float32",
        "lr": 2e-3,
        "age_loss": teacher,
        "lambda_age": weight,
    }
    return CycleGANModel(build(CycleGANOptions, options), CPU, training=True)


def photos() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {name: torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for name in "AB"}


def test_it_is_two_more_losses_and_the_estimator_stays_as_it_is(teacher: Path) -> None:
    once, twice, without = model_with(teacher), model_with(teacher, 2.0), model_with(None)
    before = {name: value.clone() for name, value in once.age_loss.estimator.state_dict().items()}
    losses, doubled, others = (
        once.optimize(photos()).losses,
        twice.optimize(photos()).losses,
        without.optimize(photos()),
    )
    assert set(losses) - set(others.losses) == {"age_A", "age_B"}
    for name in ("age_A", "age_B"):
        assert losses[name] > 0 and doubled[name].item() == pytest.approx(2 * losses[name].item(), rel=1e-5)
    assert losses["cycle_A"].item() == pytest.approx(others.losses["cycle_A"].item(), rel=1e-5)
    ours, theirs = (next(model.G_A.parameters()).grad for model in (once, without))
    assert not torch.allclose(ours, theirs)
    assert all(torch.equal(value, before[name]) for name, value in once.age_loss.estimator.state_dict().items())
    assert set(once.networks) == {"G_A", "G_B", "D_A", "D_B"}  # checkpoints are those of any CycleGAN


def test_translations_age_by_it(teacher: Path) -> None:
    """By an estimator that takes brightness for age: 25 steps make them brighter, and darker the other way."""
    years = {}
    for weight in (0.001, 30.0):
        model = model_with(teacher, weight)
        model.age_loss.estimator = LevelEstimator()
        for _ in range(25):
            images = model.optimize(photos()).images
        level = LevelEstimator()
        years[weight] = [
            (level(images["fake_B"]).ages - level(images["real_A"]).ages).mean().item(),
            (level(images["real_B"]).ages - level(images["fake_A"]).ages).mean().item(),
        ]
    for taught, untaught in zip(years[30.0], years[0.001], strict=True):
        assert taught > 15 and taught > untaught + 10


def test_grey_images_have_no_age(teacher: Path) -> None:
    options = {"netG": "resnet_1blocks", "age_loss": teacher, "input_nc": 1, "output_nc": 1}
    with pytest.raises(OptionError, match="--age_loss needs colour images"):
        CycleGANModel(build(CycleGANOptions, options), CPU, training=True)


def test_a_run_remembers_its_teacher_and_is_not_measured_by_it(demo_faces: Path, teacher: Path, tmp_path: Path) -> None:
    other = write_estimator(tmp_path / "other.pth", 2)
    own = tmp_path / "own.pth"
    own.write_bytes(teacher.read_bytes())
    words = [
        *("--dataroot", demo_faces, "--load_size", "36", "--crop_size", "32", "--ngf", "2", "--ndf", "2"),
        *("--netG", "resnet_1blocks", "--num_threads", "0", "--no_visdom", "--gpu_ids", "-1", "--no_html"),
        *("--max_dataset_size", "4", "--n_epochs", "1", "--n_epochs_decay", "0", "--checkpoints_dir", tmp_path),
        *("--name", "run", "--print_freq", "1"),
    ]
    printed = run("train.py", *words, "--age_loss", own)
    assert "age_A" in printed
    saved = json.loads((tmp_path / "run" / "opt.json").read_text())
    assert saved["age_loss_sha256"] == sha256_of(own) and saved["age_loss"] == str(own)

    own.write_bytes(other.read_bytes())
    going_on = ["--continue_train", "--n_epochs", "2"]
    assert "is not the estimator that the run in" in run("train.py", *words, *going_on, status=2)
    own.write_bytes(teacher.read_bytes())
    for message, *more in (
        ("--age_loss needs --direction AtoB", "--age_loss", own, "--direction", "BtoA"),
        ("--grey_hair needs --direction AtoB", "--grey_hair", "0.5", "--direction", "BtoA"),
        ("none.pth does not exist", "--age_loss", tmp_path / "none.pth"),
        (
            "is the estimator that --age_loss trains with",
            "--age_loss",
            own,
            "--eval_freq",
            "1",
            "--age_estimator",
            teacher,
        ),
    ):
        assert message in run("train.py", *words, "--name", "new", *more, status=2)
    assert "training finished at epoch 2" in run("train.py", *words, *going_on)

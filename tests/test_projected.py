"""Discriminators with heads on an age estimator's frozen features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from processes import TINY, run
from test_cycle_gan import photos, small_model

from models.age_estimator import AgeEstimator, EstimatorShape, save_estimator
from models.fast.speed import SPEEDUPS
from util.arguments import OptionError
from util.files import sha256_of


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("teacher") / "teacher.pth"
    save_estimator(AgeEstimator(EstimatorShape("small", 32)), path)
    return path


def test_heads_learn_and_the_estimator_stays_as_it_is(teacher: Path) -> None:
    model = small_model(netD="projected", features=teacher, n_layers_D=2)
    frozen = model.D_A.frozen[0].model
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    heads = [parameter.clone() for parameter in model.D_A.heads.parameters()]
    generator = next(model.G_A.parameters()).clone()
    model.optimize(photos())
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    assert all(not torch.equal(old, new) for old, new in zip(heads, model.D_A.heads.parameters(), strict=True))
    assert not torch.equal(generator, next(model.G_A.parameters()))
    names = {name.split(".")[0] for name in model.D_A.state_dict()}
    assert names == {"patch", "heads"}, "checkpoints do not hold the estimator"


def test_each_judge_has_a_channel_of_equal_weight(teacher: Path) -> None:
    model = small_model(netD="projected", features=teacher, n_layers_D=2)
    images = photos()["A"]
    logits = model.D_A(images)
    assert logits.shape == (2, 4, 8, 8)
    maps = [model.D_A.patch(images)]
    maps += [head(seen) for head, seen in zip(model.D_A.heads, model.D_A.frozen[0](images), strict=True)]
    for channel, judged in list(enumerate(maps))[1:]:
        assert logits[:, channel].mean().item() == pytest.approx(judged.mean().item(), abs=1e-6)


def test_the_coarse_patch_discriminator_sees_reduced_images(teacher: Path) -> None:
    model = small_model(netD="projected", features=teacher, n_layers_D=2, coarse_size=16)
    images = photos()["A"]
    logits = model.D_A(images)
    assert logits.shape == (2, 5, 8, 8), "the PatchGAN, the coarse one and three heads"
    small = torch.nn.functional.interpolate(images, (16, 16), mode="bilinear", antialias=True)
    assert logits[:, 1].mean().item() == pytest.approx(model.D_A.coarse(small).mean().item(), abs=1e-5)
    before = [parameter.clone() for parameter in model.D_A.coarse.parameters()]
    model.optimize(photos())
    assert all(not torch.equal(old, new) for old, new in zip(before, model.D_A.coarse.parameters(), strict=True))


@pytest.mark.parametrize("levels", [1, 4])
def test_heads_are_as_many_as_the_levels_of_features(teacher: Path, levels: int) -> None:
    model = small_model(netD="projected", features=teacher, n_layers_D=2, features_levels=levels)
    assert model.D_A(photos()["A"]).shape[1] == 1 + levels
    before = [parameter.clone() for parameter in model.D_A.heads.parameters()]
    model.optimize(photos())
    assert all(not torch.equal(old, new) for old, new in zip(before, model.D_A.heads.parameters(), strict=True))


def test_the_heads_alone_move_a_generator(teacher: Path) -> None:
    """Their gradient passes through the frozen features to the image."""
    model = small_model(netD="projected", features=teacher, n_layers_D=2)
    images = photos()["A"].requires_grad_()
    model.D_A(images)[:, 1:].sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.D_A.frozen[0].parameters())


def test_with_grey_features_only_the_patch_discriminator_sees_colour(teacher: Path) -> None:
    images = photos()["A"]
    grey = images.mean(dim=1, keepdim=True).expand_as(images)
    for features_grey in (True, False):
        model = small_model(netD="projected", features=teacher, n_layers_D=2, features_grey=features_grey)
        of_colour, of_grey = model.D_A(images), model.D_A(grey)
        assert not torch.allclose(of_colour[:, 0], of_grey[:, 0])
        assert torch.allclose(of_colour[:, 1:], of_grey[:, 1:], atol=1e-5) == features_grey


def test_features_vary_in_size_in_training_steps_alone(teacher: Path) -> None:
    model = small_model(netD="projected", features=teacher, n_layers_D=2, features_size=32, features_smallest=16)
    images = photos()["A"].repeat(1, 1, 2, 2)
    features = model.D_A.frozen[0]
    sizes = {features(images)[0].shape[-2] for _ in range(40)}
    with torch.no_grad():
        measured = {features(images)[0].shape[-2] for _ in range(10)}
    assert len(sizes) == 3 and measured == {max(sizes)} and min(sizes) == max(sizes) // 2
    with pytest.raises(OptionError, match="--features_smallest 40"):
        small_model(netD="projected", features=teacher, features_size=32, features_smallest=40)


def test_fast_ways_stay_near_the_plain_one(teacher: Path) -> None:
    options = {
        "netD": "projected",
        "features": teacher,
        "n_layers_D": 2,
        "upsample": "resize",
        "position": True,
        "residual": True,
        "netG": "resnet_2blocks",
        "ngf": 16,
        "lambda_r1": 1.0,
        "diffaug": False,
    }
    plain = small_model(**options)
    fast = small_model(**options, speedups=tuple(SPEEDUPS), channels_last="on")
    for name, network in fast.networks.items():
        network.load_state_dict(plain.networks[name].state_dict())
    batch = photos(count=1)
    expected, losses = plain.optimize(batch).losses, fast.optimize(batch).losses
    for name, loss in expected.items():
        assert losses[name].item() == pytest.approx(loss.item(), rel=1e-4), name
    for name in ("G_A", "G_B", "D_A", "D_B"):
        pairs = zip(plain.networks[name].parameters(), fast.networks[name].parameters(), strict=True)
        gradients = [
            (a.grad.flatten(), b.grad.flatten()) for a, b in pairs if a.grad is not None and b.grad is not None
        ]
        a, b = (torch.cat(side) for side in zip(*gradients, strict=True))
        assert torch.cosine_similarity(a, b, dim=0) > 0.999, name


def test_a_run_notes_whose_features_it_saw_and_is_resumed(demo_faces: Path, teacher: Path, tmp_path: Path) -> None:
    words = [
        "--dataroot",
        demo_faces,
        "--checkpoints_dir",
        tmp_path,
        "--name",
        "run",
        *TINY.split(),
        "--max_dataset_size",
    ]
    words += ["4", "--n_epochs_decay", "0", "--netD", "projected", "--features", teacher, "--n_layers_D", "2"]
    run("train.py", *words, "--n_epochs", "1")
    saved = json.loads((tmp_path / "run" / "opt.json").read_text())
    assert saved["features_sha256"] == sha256_of(teacher)
    assert "at epoch 2, image 0" in run("train.py", *words, "--n_epochs", "2", "--continue_train")
    assert "does not exist" in run("train.py", *words, "--name", "new", "--features", tmp_path / "none.pth", status=2)

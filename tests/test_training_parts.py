"""Parts of training beside the paper's: averages, augmentation, penalties, lazy terms, warm-up."""

from __future__ import annotations

import copy
import signal
from pathlib import Path

import pytest
import torch
from processes import TINY, fork, run, wait_until
from test_cycle_gan import photos, small_model

from models.augment import augment, cut_out, translate
from models.averages import Averages
from models.losses import darkening, gradient_penalty_on_real, lightening, tint
from util.arguments import OptionError

CPU = torch.device("cpu")


def test_averages_follow_their_network_by_the_formula() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    averages = Averages({"G": network}, decay=0.5)
    expected = network.weight.item()
    for step in range(8):
        with torch.no_grad():
            network.weight.fill_(float(step))
        averages.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert averages.averaged["G"].weight.item() == pytest.approx(expected, rel=1e-6)
    assert not averages.averaged["G"].weight.requires_grad


def test_a_model_with_averages_translates_by_them_and_saves_both() -> None:
    model = small_model(ema=0.9, lr=0.01)
    for seed in range(3):
        model.optimize(photos(seed))
    assert set(model.networks) == {"G_A", "G_B", "D_A", "D_B", "raw_G_A", "raw_G_B"}
    assert model.networks["raw_G_A"] is model.G_A
    batch = photos(9)
    translated = model.translate(batch)["fake_B"]
    assert torch.equal(translated, model.networks["G_A"](batch["A"]))
    assert not torch.equal(translated, model.G_A(batch["A"]))


def test_translate_shifts_whole_pixels_and_cut_out_greys_one_rectangle() -> None:
    torch.manual_seed(0)
    images = torch.rand(40, 3, 16, 24) + 0.5
    shifted = translate(images)
    for before, after in zip(images, shifted, strict=True):
        matches = [
            torch.equal(
                after[:, max(0, -y) : 16 - max(0, y), max(0, -x) : 24 - max(0, x)],
                before[:, max(0, y) : 16 + min(0, y), max(0, x) : 24 + min(0, x)],
            )
            for y in range(-2, 3)
            for x in range(-3, 4)
        ]
        assert sum(matches) == 1
    hidden = cut_out(images) == 0
    assert hidden.flatten(1).any(1).all() and hidden.float().mean() < 0.35**2
    rows, columns = hidden[:, 0].any(2), hidden[:, 0].any(1)
    assert torch.equal(hidden[:, 0], rows[:, :, None] & columns[:, None, :]), "a rectangle in each image"


def test_augmentation_keeps_colours_and_passes_gradients() -> None:
    torch.manual_seed(0)
    images = torch.full((4, 3, 16, 16), 0.25, requires_grad=True)
    seen = augment(images)
    assert set(seen.unique().tolist()) == {0.0, 0.25}
    seen.sum().backward()
    assert images.grad is not None and set(images.grad.unique().tolist()) <= {0.0, 1.0}


def test_r1_of_a_linear_judge_is_its_squared_weight() -> None:
    weight = torch.randn(1, 3, 8, 8)
    judge = lambda images: (images * weight).sum(dim=(1, 2, 3), keepdim=True)  # noqa: E731
    assert gradient_penalty_on_real(judge, torch.rand(5, 3, 8, 8)).item() == pytest.approx(
        weight.square().sum().item(), rel=1e-5
    )


def test_r1_enters_every_nth_step_and_stays_shown() -> None:
    model = small_model(lambda_r1=2.0, r1_every=3)
    shown = [model.optimize(photos(seed)).losses["D_A_r1"].item() for seed in range(6)]
    assert shown[0] == shown[1] == shown[2] != shown[3] == shown[4] == shown[5]


@pytest.mark.parametrize("norm_D", ["spectral", "none", "batch"])
def test_discriminators_take_another_normalisation(norm_D: str) -> None:
    model = small_model(norm_D=norm_D)
    losses = model.optimize(photos()).losses
    assert all(torch.isfinite(loss) for loss in losses.values())
    weights = [module.weight for module in model.D_A.modules() if isinstance(module, torch.nn.Conv2d)]
    if norm_D == "spectral":
        for weight in weights:
            assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.3)


def test_lazy_cycle_leaves_translations_back_out_of_the_other_steps() -> None:
    model, plain = small_model(lazy_cycle=2), small_model()
    first = model.optimize(photos(1))
    assert first.losses["cycle_A"].item() == pytest.approx(2 * plain.optimize(photos(1)).losses["cycle_A"].item())
    second = model.optimize(photos(2))
    assert "rec_A" in first.images and "rec_A" not in second.images
    assert second.losses["cycle_A"] == first.losses["cycle_A"] and second.losses["G_A"] != first.losses["G_A"]


def test_the_change_is_weighed_and_shown() -> None:
    model = small_model(lambda_change=3.0)
    before, batch = copy.deepcopy(model), photos()
    losses = model.optimize(batch).losses
    expected = 3.0 * (before.G_A(batch["A"]) - batch["A"]).abs().mean()
    assert losses["change_A"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert list(losses)[:8] == ["D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B"]


def test_grey_is_no_tint_and_other_colours_are() -> None:
    brown = torch.tensor([0.4, 0.1, -0.2]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    grey, lighter = torch.full_like(brown, 0.1), brown + 0.3
    for shade in (brown, grey, (brown + grey) / 2, lighter):
        assert tint(shade, brown).item() == pytest.approx(0, abs=1e-6)
    pink, stronger = torch.tensor([0.5, -0.1, -0.1]).view(1, 3, 1, 1), 2 * brown
    for shade in (pink.expand_as(brown), stronger, 0.1 - brown):
        assert tint(shade, brown).item() > 0.05
    assert tint(brown, grey).item() == pytest.approx(0.2), "mean of the colour's parts 0.3, 0 and -0.3"


def test_tints_of_older_faces_are_weighed_and_shown() -> None:
    model = small_model(lambda_tint=3.0)
    before, batch = copy.deepcopy(model), photos()
    losses = model.optimize(batch).losses
    assert losses["tint_A"].item() == pytest.approx(3.0 * tint(before.G_A(batch["A"]), batch["A"]).item(), rel=1e-5)
    assert "tint_B" not in losses, "hair that gets its colour back is no tint"


def test_skin_and_eyes_may_not_get_lighter_and_dark_hair_may() -> None:
    photo = torch.full((2, 3, 48, 48), 0.4)  # skin, with the brightness 0.7 between 0 and 1
    photo[:, :, :12] = -0.6  # hair, 0.2
    photo[:, :, 24:26, 10:12] = -0.8  # an eye
    photo[:, :, 42:] = 2 * 0.7 * 0.7 - 1  # a shadow, midway between half of the skin's brightness and nine tenths of it
    changed = {}
    for name, rows in {
        "hair": slice(0, 10),
        "skin": slice(30, 36),
        "eye": slice(24, 26),
        "shadow": slice(45, 48),
    }.items():
        columns = slice(10, 12) if name == "eye" else slice(None)
        changed[name] = photo.clone()
        changed[name][:, :, rows, columns] += 0.2
    assert lightening(photo, photo) == lightening(changed["hair"], photo) == lightening(photo - 0.2, photo) == 0
    assert lightening(changed["skin"], photo).item() == pytest.approx(0.2 * 6 / 48, rel=1e-5)
    assert lightening(changed["shadow"], photo).item() == pytest.approx(0.5 * 0.2 * 3 / 48, rel=1e-4)
    assert lightening(changed["eye"], photo).item() > 0.7 * 0.2 * 2 * 2 / 48**2


def test_light_on_older_faces_is_weighed_and_shown() -> None:
    model = small_model(lambda_lightening=3.0)
    before, batch = copy.deepcopy(model), photos()
    losses = model.optimize(batch).losses
    expected = 3.0 * lightening(before.G_A(batch["A"]), batch["A"])
    assert losses["lightening_A"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert "lightening_B" not in losses, "shadows under the eyes may vanish"


def test_areas_of_skin_may_not_get_much_darker_and_lines_may() -> None:
    photo = torch.full((2, 3, 48, 48), 0.4)  # skin, with the brightness 0.7 between 0 and 1
    photo[:, :, :12] = -0.8  # hair, 0.1
    lines, patch, hair = (photo.clone() for _ in range(3))
    lines[:, :, 16::12] -= 0.4
    patch[:, :, 20:36, 16:32] -= 0.4
    hair[:, :, :8] -= 0.1
    slightly = photo - 0.1 * 0.7
    assert darkening(photo, photo) == darkening(photo + 0.1, photo) == darkening(slightly, photo) == 0
    assert darkening(hair, photo) == 0
    assert darkening(patch, photo).item() == pytest.approx((0.2 / 0.7 - 0.1) * 16 * 16 / 48**2, rel=0.3)
    assert darkening(lines, photo) < darkening(patch, photo) / 4, "lines that are far from each other"


def test_darkness_of_older_faces_is_weighed_and_shown() -> None:
    model = small_model(lambda_darkening=3.0)
    before, batch = copy.deepcopy(model), photos()
    losses = model.optimize(batch).losses
    expected = 3.0 * darkening(before.G_A(batch["A"]), batch["A"])
    assert losses["darkening_A"].item() == pytest.approx(expected.item(), rel=1e-5) and expected > 0
    assert "darkening_B" not in losses


def test_discriminators_see_a_weaker_change_with_overshoot() -> None:
    model = small_model(overshoot_A=1.5, overshoot_B=2.0)
    before, batch = copy.deepcopy(model), photos()
    losses = model.optimize(batch).losses
    for name, photo, factor, translate_, judge in (
        ("G_A", batch["A"], 1.5, before.G_A, before.D_A),
        ("G_B", batch["B"], 2.0, before.G_B, before.D_B),
    ):
        seen = photo + (translate_(photo) - photo) / factor
        assert losses[name].item() == pytest.approx((judge(seen) - 1).square().mean().item(), rel=1e-4)
    assert losses["D_A"].item() == pytest.approx(
        0.5
        * (
            (before.D_A(batch["B"]) - 1).square().mean()
            + before.D_A(batch["A"] + (before.G_A(batch["A"]) - batch["A"]) / 1.5).square().mean()
        ).item(),
        rel=1e-4,
    )
    rec = before.G_B(before.G_A(batch["A"]))
    assert losses["cycle_A"].item() == pytest.approx(10 * (rec - batch["A"]).abs().mean().item(), rel=1e-4)


def test_a_warm_up_teaches_the_discriminators_alone() -> None:
    model = small_model(warm_up_D=60, lr=0.002)
    before = copy.deepcopy(model)
    light = {"A": torch.rand(8, 3, 32, 32) * 0.5 + 0.4, "B": torch.rand(8, 3, 32, 32) * 0.5 - 0.9}
    for _ in range(60):
        model.warm_up(light)
    assert model.told_apart(light) == {"D_A": 1.0, "D_B": 1.0}
    for name in ("G_A", "G_B"):
        for own, former in zip(model.networks[name].parameters(), before.networks[name].parameters(), strict=True):
            assert torch.equal(own, former)


def test_a_warm_up_stopped_and_resumed_gives_equal_weights(demo_faces: Path, tmp_path: Path) -> None:
    words = ["--dataroot", demo_faces, "--checkpoints_dir", tmp_path, *TINY.split(), "--n_epochs", "1", "--ema", "0.9"]
    words += ["--n_epochs_decay", "0", "--max_dataset_size", "8", "--warm_up_D", "120", "--warm_up_batch", "4"]
    words += ["--lambda_r1", "1", "--lazy_cycle", "2", "--diffaug"]
    assert "warm-up of the discriminators, step 120 of 120" in run("train.py", *words, "--name", "straight")
    output = tmp_path / "output.txt"
    output.touch()
    stopped = fork(output, "train.py", *words, "--name", "stopped")
    wait_until(lambda: "step 1 of 120" in output.read_text() or stopped.poll() is not None)
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait() == 130
    told = run("train.py", *words, "--name", "stopped", "--continue_train")
    assert "step 51 of 120" in told and "step 1 of 120" not in told
    for name in ("G_A", "raw_G_B", "D_A", "D_B"):
        straight, resumed = (
            torch.load(tmp_path / run_name / f"latest_net_{name}.pth", weights_only=True)
            for run_name in ("straight", "stopped")
        )
        assert all(torch.equal(straight[key], resumed[key]) for key in straight), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ema": 1.0}, "--ema 1.0"),
        ({"lambda_r1": 1.0, "gan_mode": "wgangp"}, "--lambda_r1"),
        ({"lazy_cycle": 0}, "--lazy_cycle 0"),
        ({"position": True, "netG": "unet_128"}, "--position"),
        ({"fade": 0.6, "residual": True}, "--fade 0.6"),
        ({"lambda_change": 1.0, "output_nc": 1, "lambda_identity": 0.0}, "--lambda_change"),
        ({"lambda_tint": 1.0, "output_nc": 1, "lambda_identity": 0.0}, "--lambda_tint"),
        ({"lambda_lightening": 1.0, "output_nc": 1, "lambda_identity": 0.0}, "--lambda_lightening"),
        ({"netD": "projected", "coarse_size": 16, "n_layers_D": 3}, "--coarse_size 16"),
        ({"overshoot_A": 1.4, "output_nc": 1, "lambda_identity": 0.0}, "--overshoot_A"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        small_model(**options)

"""The CycleGAN's step: its loss values, who gets gradients, what two steps with one seed give."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from models.base_model import PUBLIC_LOSSES
from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from models.layers import frozen
from models.losses import GAN_LOSSES, gradient_penalty
from util.arguments import OptionError, build

CPU = torch.device("cpu")


def small_model(seed: int = 0, **options: object) -> CycleGANModel:
    torch.manual_seed(seed)
    small = {"netG": "resnet_1blocks", "ngf": 4, "ndf": 4, "pool_size": 0, "precision": "float32", "speedups": ()}
    return CycleGANModel(build(CycleGANOptions, {**small, **options}), CPU, training=True, seed=seed)


def photos(seed: int = 1, count: int = 2, size: int = 32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(count, 3, size, size, generator=generator) * 2 - 1 for name in "AB"}


def adversarial(mode: str, real: torch.Tensor, fake: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Generator's and discriminator's loss, by the papers' formulas."""
    ones, zeros = torch.ones_like(fake), torch.zeros_like(fake)
    if mode == "lsgan":
        return F.mse_loss(fake, ones), F.mse_loss(real, ones) + F.mse_loss(fake, zeros)
    if mode == "vanilla":
        entropy = F.binary_cross_entropy_with_logits
        return entropy(fake, ones), entropy(real, ones) + entropy(fake, zeros)
    if mode == "hinge":
        return -fake.mean(), -torch.minimum(real - 1, zeros).mean() - torch.minimum(-fake - 1, zeros).mean()
    return -fake.mean(), fake.mean() - real.mean()


@pytest.mark.parametrize("mode", ["lsgan", "vanilla", "hinge"])
def test_losses_of_one_step_follow_the_formulas(mode: str) -> None:
    model = small_model(gan_mode=mode, lambda_A=7.0, lambda_B=3.0, lambda_identity=0.4)
    before = copy.deepcopy(model)
    batch = photos()
    A, B = batch["A"], batch["B"]
    losses = model.optimize(batch).losses

    assert tuple(losses) == PUBLIC_LOSSES  # without those of age
    fake_B, fake_A = before.G_A(A), before.G_B(B)
    expected = {
        "cycle_A": 7.0 * (before.G_B(fake_B) - A).abs().mean(),
        "cycle_B": 3.0 * (before.G_A(fake_A) - B).abs().mean(),
        "idt_A": 0.4 * 3.0 * (before.G_A(B) - B).abs().mean(),
        "idt_B": 0.4 * 7.0 * (before.G_B(A) - A).abs().mean(),
    }
    expected["G_A"], judged_A = adversarial(mode, before.D_A(B), before.D_A(fake_B))
    expected["G_B"], judged_B = adversarial(mode, before.D_B(A), before.D_B(fake_A))
    expected |= {"D_A": judged_A / 2, "D_B": judged_B / 2}
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-5), name


def test_the_step_moves_every_network_by_adam() -> None:
    model = small_model()
    before = copy.deepcopy(model)
    batch = photos()
    images = before.images(batch["A"], batch["B"])
    with frozen(before.D_A, before.D_B):
        sum(before.generator_losses(images).values()).backward()
    sum(before.discriminator_losses(images).values()).backward()
    model.optimize(batch)
    for name, network in model.networks.items():
        reference = before.networks[name]
        optimizer = torch.optim.Adam(reference.parameters(), lr=2e-4, betas=(0.5, 0.999))
        optimizer.step()
        for (key, moved), expected in zip(network.named_parameters(), reference.parameters(), strict=True):
            # Where a gradient is only rounding (a bias before a norm), Adam still moves by the whole learning rate.
            matters = expected.grad.abs() > 1e-6
            assert torch.allclose(moved[matters], expected[matters], atol=2e-6), f"{name}.{key}"


def test_without_identity_weight_there_is_no_identity_term() -> None:
    losses = small_model(lambda_identity=0.0).optimize(photos()).losses
    assert tuple(losses) == ("D_A", "G_A", "cycle_A", "D_B", "G_B", "cycle_B")


def test_wgangp_adds_a_gradient_penalty() -> None:
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 1, bias=False))
    with torch.no_grad():
        linear[1].weight.fill_(3.0 / (3 * 8 * 8) ** 0.5)  # a critic whose gradient has norm 3 everywhere
    penalty = gradient_penalty(linear, torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8))
    assert penalty.item() == pytest.approx((3.0 - 1.0) ** 2, rel=1e-4)
    penalty.backward()
    assert linear[1].weight.grad.abs().sum() > 0

    with_penalty, without = (small_model(gan_mode="wgangp", lambda_gp=weight) for weight in (10.0, 0.0))
    batch = photos()
    a, b = with_penalty.optimize(batch).losses, without.optimize(batch).losses
    assert a["G_A"] == b["G_A"]
    assert a["D_A"] - b["D_A"] > 0.01


def test_gradients_reach_both_generators_and_never_the_frozen_discriminators() -> None:
    model = small_model()
    batch = photos()
    images = model.images(batch["A"], batch["B"])
    with frozen(model.D_A, model.D_B):
        losses = model.generator_losses(images)
        for name in ("G_A", "cycle_A"):
            gradients = torch.autograd.grad(losses[name], list(model.G_A.parameters()), retain_graph=True)
            assert gradients[0].abs().sum() > 0, name
        sum(losses.values()).backward()
    for generator in (model.G_A, model.G_B):
        assert all(parameter.grad is not None for parameter in generator.parameters())
        assert all(
            parameter.grad.abs().sum() > 0 for name, parameter in generator.named_parameters() if "weight" in name
        )
    for discriminator in (model.D_A, model.D_B):
        assert all(parameter.grad is None for parameter in discriminator.parameters())
        assert all(parameter.requires_grad for parameter in discriminator.parameters())


def test_the_discriminators_step_leaves_the_generators_without_gradients() -> None:
    model = small_model()
    images = model.images(*photos().values())
    for network in model.networks.values():
        network.zero_grad(set_to_none=True)
    sum(model.discriminator_losses(images).values()).backward()
    assert all(p.grad is None for p in [*model.G_A.parameters(), *model.G_B.parameters()])
    assert all(p.grad is not None for p in [*model.D_A.parameters(), *model.D_B.parameters()])


def test_frozen_keeps_layers_frozen_that_were_so_before() -> None:
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with pytest.raises(RuntimeError), frozen(layer):
        assert not layer.weight.requires_grad
        raise RuntimeError
    assert layer.weight.requires_grad and not layer.bias.requires_grad


def test_translate_gives_the_images_of_the_domains_there_are() -> None:
    model, batch = small_model(), photos()
    assert list(model.translate({"A": batch["A"]})) == ["real_A", "fake_B", "rec_A"]
    assert list(model.translate(batch)) == ["real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B"]
    assert torch.equal(model.translate(batch)["rec_B"], model.G_A(model.G_B(batch["B"])))


def test_the_plateau_follows_the_mean_generator_loss_of_an_epoch() -> None:
    model = small_model(lr_policy="plateau")
    steps = [model.optimize(photos(step)).losses for step in range(3)]
    expected = sum(loss[name].item() for loss in steps for name in loss if not name.startswith("D_")) / 3
    model.end_epoch()
    assert model.optimizations["G"].schedule.best_loss == pytest.approx(expected, rel=1e-5)


def test_identity_loss_needs_equal_channels() -> None:
    with pytest.raises(OptionError, match=r"--lambda_identity.*--input_nc"):
        small_model(input_nc=1)
    model = small_model(input_nc=1, lambda_identity=0.0)
    images = model.optimize({"A": photos()["A"][:, :1], "B": photos()["B"]}).images
    assert images["fake_A"].shape[1] == 1 and images["fake_B"].shape[1] == 3


def test_every_objective_pulls_the_generator_towards_real() -> None:
    for mode, loss in GAN_LOSSES.items():
        values = [loss.generator(torch.tensor([logit])).item() for logit in (-2.0, -1.0, 0.0, 0.9)]
        assert all(earlier > later for earlier, later in pairwise(values)), mode


@pytest.mark.parametrize("norm", ["instance", "none"])
@pytest.mark.parametrize("count", [1, 3])
def test_merging_the_identity_pass_changes_nothing(norm: str, count: int) -> None:
    """One pass over photos of both domains gives the losses and gradients of two passes."""
    merged, apart = small_model(norm=norm, speedups=("merge",)), small_model(norm=norm)
    assert merged.merges_passes and not apart.merges_passes
    batch = photos(count=count)
    passes = []
    merged.G_A.register_forward_hook(lambda module, images, output: passes.append(len(output)))
    a, b = merged.optimize(batch), apart.optimize(batch)
    assert passes == [2 * count, count]
    for name in b.losses:
        assert a.losses[name].item() == pytest.approx(b.losses[name].item(), rel=1e-5), name
    for name, network in merged.networks.items():
        for ours, theirs in zip(network.parameters(), apart.networks[name].parameters(), strict=True):
            assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)


def test_networks_that_mix_images_or_roll_dice_are_never_merged() -> None:
    for options in ({"norm": "batch"}, {"dropout": True}):
        assert not small_model(speedups=("merge",), **options).merges_passes
    small_model(speedups=("merge",)).optimize(
        {"A": photos(size=32)["A"], "B": photos(size=36)["B"]}
    )  # of unequal sizes: one by one

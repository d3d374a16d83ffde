"""Networks: the public code base's keys, shapes, counts and outputs."""

from __future__ import annotations

import pytest
import reference_networks
import torch
from torch import nn

from models.discriminators import DiscriminatorOptions, create_discriminator
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions, initialise
from util.arguments import OptionError


def generator(netG: str, ngf: int = 64, dropout: bool = False, **network: object) -> nn.Module:
    return create_generator(NetworkOptions(**network), GeneratorOptions(netG, ngf, dropout))


def discriminator(netD: str = "basic", ndf: int = 64, layers: int = 3, **network: object) -> nn.Module:
    return create_discriminator(
        NetworkOptions(**network), DiscriminatorOptions(netD, ndf, layers), 3, torch.device("cpu")
    )


def test_resnet_9blocks_has_the_public_keys() -> None:
    state = generator("resnet_9blocks").state_dict()
    expected = [f"model.{n}.{kind}" for n in (1, 4, 7) for kind in ("weight", "bias")]
    for block in range(10, 19):
        expected += [f"model.{block}.conv_block.{n}.{kind}" for n in (1, 5) for kind in ("weight", "bias")]
    expected += [f"model.{n}.{kind}" for n in (19, 22, 26) for kind in ("weight", "bias")]
    assert list(state) == expected
    assert state["model.1.weight"].shape == (64, 3, 7, 7)
    assert state["model.10.conv_block.1.weight"].shape == (256, 256, 3, 3)
    assert state["model.19.weight"].shape == (256, 128, 3, 3)
    assert state["model.26.weight"].shape == (3, 64, 7, 7)


def test_dropout_moves_the_second_convolution_of_a_block() -> None:
    state = generator("resnet_6blocks", ngf=4, dropout=True).state_dict()
    assert "model.10.conv_block.6.weight" in state
    assert "model.10.conv_block.5.weight" not in state


def test_batch_norm_keys_and_biases() -> None:
    state = generator("resnet_6blocks", ngf=4, norm="batch").state_dict()
    assert "model.1.bias" not in state, "the public code drops biases before a batch norm"
    assert {"model.2.weight", "model.2.bias", "model.2.running_mean", "model.2.num_batches_tracked"} <= set(state)


def test_discriminator_keys() -> None:
    assert list(discriminator(ndf=4).state_dict()) == [
        f"model.{n}.{kind}" for n in (0, 2, 5, 8, 11) for kind in ("weight", "bias")
    ]
    assert list(discriminator("pixel", ndf=4).state_dict()) == [
        f"net.{n}.{kind}" for n in (0, 2, 5) for kind in ("weight", "bias")
    ]


@pytest.mark.parametrize("blocks", [2, 6, 9])
def test_resnet_output_equals_the_public_one(blocks: int) -> None:
    torch.manual_seed(blocks)
    net, images = generator(f"resnet_{blocks}blocks", ngf=8), torch.rand(2, 3, 40, 24) * 2 - 1
    expected = reference_networks.resnet(net.double().state_dict(), images.double(), blocks)
    assert torch.allclose(net.float()(images), expected.float(), atol=2e-5)
    assert expected.std() > 1e-3


@pytest.mark.parametrize(("name", "levels"), [("unet_128", 7), ("unet_256", 8)])
def test_unet_output_equals_the_public_one(name: str, levels: int) -> None:
    torch.manual_seed(levels)
    net, images = generator(name, ngf=4), torch.rand(1, 3, 2**levels, 2 ** (levels + 1)) * 2 - 1
    expected = reference_networks.unet(net.double().state_dict(), images.double(), levels)
    assert torch.allclose(net.float()(images), expected.float(), atol=5e-4)
    assert expected.std() > 1e-3


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_patch_discriminator_output_equals_the_public_one(layers: int) -> None:
    net, images = discriminator("n_layers", ndf=8, layers=layers), torch.rand(2, 3, 128, 96) * 2 - 1
    expected = reference_networks.patch_discriminator(net.double().state_dict(), images.double(), layers)
    assert torch.allclose(net.float()(images), expected.float(), atol=1e-4)


def test_pixel_discriminator_output_equals_the_public_one() -> None:
    net, images = discriminator("pixel", ndf=8), torch.rand(2, 3, 20, 12) * 2 - 1
    expected = reference_networks.pixel_discriminator(net.double().state_dict(), images.double())
    assert torch.allclose(net.float()(images), expected.float(), atol=1e-5)


def test_basic_discriminator_judges_patches_of_70_pixels() -> None:
    net = discriminator(ndf=4, norm="none").double()
    images = torch.zeros(1, 3, 256, 256, dtype=torch.float64, requires_grad=True)
    logits = net(images)
    assert logits.shape == (1, 1, 30, 30)
    (gradient,) = torch.autograd.grad(logits[0, 0, 15, 15], images)
    rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 70


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("netG", ["resnet_1blocks", "unet_128"])
def test_every_generator_maps_to_its_own_size_and_range(netG: str, norm: str) -> None:
    net = generator(netG, ngf=4, norm=norm, dropout=True, input_nc=1)
    output = net(torch.rand(2, 1, 128, 128) * 2 - 1)
    assert output.shape == (2, 3, 128, 128)
    assert output.abs().max() <= 1


@pytest.mark.parametrize(
    ("init_type", "expected"),
    [
        ("normal", 0.05),
        ("xavier", 0.05 * (2 / (9 * 32 + 9 * 32)) ** 0.5),
        ("kaiming", (2 / (9 * 32)) ** 0.5),
        ("orthogonal", 0.05 * (1 / (9 * 32)) ** 0.5),
    ],
)
def test_initialisations_have_their_standard_deviation(init_type: str, expected: float) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(32, 32, 3), nn.BatchNorm2d(32))
    initialise(network, init_type, gain=0.05)
    assert network[0].weight.std().item() == pytest.approx(expected, rel=0.05)
    assert network[0].bias.abs().max() == 0
    assert network[1].weight.mean().item() == pytest.approx(1, abs=0.05)
    if init_type == "orthogonal":
        rows = network[0].weight.flatten(1) / 0.05
        assert torch.allclose(rows @ rows.T, torch.eye(32), atol=1e-5)


def test_sizes_that_do_not_fit_are_explained() -> None:
    with pytest.raises(OptionError, match=r"multiples of 4 but got 30 x 32 pixels.*--crop_size"):
        generator("resnet_1blocks", ngf=4)(torch.zeros(1, 3, 30, 32))
    with pytest.raises(OptionError, match=r"multiples of 256 but got 128 x 128"):
        generator("unet_256", ngf=4)(torch.zeros(1, 3, 128, 128))
    with pytest.raises(OptionError, match=r"at least 24 x 24 pixels.*--n_layers_D"):
        discriminator(ndf=4)(torch.zeros(1, 3, 16, 64))


@pytest.mark.parametrize("netG", ["resnet_2blocks", "unet_128"])
def test_a_residual_generator_begins_as_the_identity_and_keeps_the_public_keys(netG: str) -> None:
    options = GeneratorOptions(netG, 4, residual=True)
    net, images = create_generator(NetworkOptions(), options), torch.rand(1, 3, 128, 128) * 2 - 1
    assert torch.equal(net(images), images)
    assert list(net.state_dict()) == list(generator(netG, ngf=4).state_dict())
    net(images).mean().backward()
    last = list(net.parameters())[-2]
    assert last.grad is not None and last.grad.abs().sum() > 0, "it can leave the identity"


def test_with_fade_the_border_is_never_changed_and_the_middle_as_without() -> None:
    plain, fading = (
        create_generator(NetworkOptions(), GeneratorOptions("resnet_1blocks", 4, residual=True, fade=fade))
        for fade in (0.0, 0.125)
    )
    torch.manual_seed(0)
    initialise(plain, "normal", gain=0.1)
    fading.load_state_dict(plain.state_dict())
    images = (torch.rand(2, 3, 64, 48) * 2 - 1) / 2  # half of the range, so that nothing is clamped
    change, faded = (plain(images) - images).abs(), (fading(images) - images).abs()
    for border in (faded[..., 0, :], faded[..., -1, :], faded[..., 0], faded[..., -1]):
        assert border.max() < 1e-6, "the weights at the border are 0 up to rounding"
    assert change[..., 0, :].mean() > 0.02, "it is not faded by itself"
    assert torch.equal(faded[..., 8:-8, 6:-6], change[..., 8:-8, 6:-6])
    assert (faded <= change + 1e-6).all()

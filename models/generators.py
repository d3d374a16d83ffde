"""Generators, which map images to images of the same size. State-dict keys are those of the public CycleGAN code."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.grey_hair import GreyHair
from models.layers import NORMS, NetworkOptions, conv_bias, initialise
from models.precision import Network
from util.arguments import OptionError, option


class ResnetBlock(nn.Module):
    """Residual block of two 3x3 convolutions."""

    def __init__(self, channels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = conv_bias(norm)
        layers = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), NORMS[norm](channels), nn.ReLU()]
        if dropout:
            layers += [nn.Dropout(0.5)]
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), NORMS[norm](channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class Generator(Network):
    """Maps (N, input_nc, H, W) in [-1, 1] to (N, output_nc, H, W) in [-1, 1]; H and W are multiples of `size_multiple`.

    model ends in tanh. Its output is the translation or, if `residual` is set, a change that is added to the input and
    fades to 0 over the outermost `fade` of the width and height. If `position` is set, model also sees the position of
    each pixel. With `grey_hair`, hair turns grey in evaluation mode; in training, it stays as model makes it.
    """

    def __init__(self, size_multiple: int, model: nn.Module, position: bool = False) -> None:
        super().__init__()
        self.size_multiple, self.model, self.position = size_multiple, model, position
        self.residual, self.fade = False, 0.0
        self.grey_hair: GreyHair | None = None

    def forward(self, images: Tensor) -> Tensor:
        check_size(images, self.size_multiple)
        output = self.compute(with_position(images) if self.position else images)
        if self.residual:
            change = output * faded_border(output, self.fade) if self.fade > 0 else output
            output = (images + change).clamp(-1.0, 1.0)
        if self.grey_hair is not None and not self.training:
            output = (output + self.grey_hair(images) - images).clamp(-1.0, 1.0)
        return output

    def begin_as_identity(self, fade: float = 0.0) -> None:
        """Make the output the sum of the input and a change that is initially 0. With `fade` above 0, it is always 0 at
        the border."""
        self.residual, self.fade = True, fade
        last = [module for module in self.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)][-1]
        nn.init.zeros_(last.weight)


def with_position(images: Tensor) -> Tensor:
    """Add two channels to images (N, C, H, W): the column and row of each pixel, from -1 to 1 (Liu et al. 2018,
    "CoordConv", arXiv:1807.03247)."""
    columns, rows = _places(images.shape[3], images), _places(images.shape[2], images)
    size = (images.shape[0], 1, images.shape[2], images.shape[3])
    return torch.cat([images, columns[None, None, None, :].expand(size), rows[None, None, :, None].expand(size)], dim=1)


def faded_border(images: Tensor, fade: float) -> Tensor:
    """Return weights (H, W) that rise smoothly from 0 at the outermost pixels of images (N, C, H, W) to 1 at the
    distance of `fade`, a fraction of the height and width above 0."""
    rows, columns = (((1 - _places(count, images).abs()) / (2 * fade)).clamp(0, 1) for count in images.shape[2:])
    nearest = torch.minimum(rows[:, None], columns)
    return nearest.square() * (3 - 2 * nearest)


def _places(count: int, like: Tensor) -> Tensor:
    """Return `count` equidistant numbers from -1 to 1. ONNX has no operator for linspace with a dynamic size."""
    return torch.arange(count, dtype=like.dtype, device=like.device) * (2 / (count - 1)) - 1


def resnet_generator(network: NetworkOptions, options: GeneratorOptions, blocks: int) -> Generator:
    """Create a generator of two downsampling convolutions, `blocks` residual blocks, and two upsampling convolutions.

    From Johnson et al. 2016, arXiv:1603.08155.
    """
    norm, bias, ngf = NORMS[network.norm], conv_bias(network.norm), options.ngf
    inputs = network.input_nc + (2 if options.position else 0)
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, ngf, 7, bias=bias), norm(ngf), nn.ReLU()]
    for width in (ngf, 2 * ngf):
        layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias), norm(2 * width), nn.ReLU()]
    layers += [ResnetBlock(4 * ngf, network.norm, options.dropout) for _ in range(blocks)]
    for width in (4 * ngf, 2 * ngf):
        layers += [*UPSAMPLING[options.upsample](width, bias), norm(width // 2), nn.ReLU()]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, network.output_nc, 7), nn.Tanh()]
    return Generator(4, nn.Sequential(*layers), options.position)


UPSAMPLING: dict[str, Callable[[int, bool], list[nn.Module]]] = {
    "transpose": lambda width, bias: [
        nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1, bias=bias)
    ],
    # Odena et al. 2016, "Deconvolution and checkerboard artifacts", doi:10.23915/distill.00003
    "resize": lambda width, bias: [
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.ReflectionPad2d(1),
        nn.Conv2d(width, width // 2, 3, bias=bias),
    ],
}
"""Functions that create layers to double height and width and halve the channels, given the number of channels and
whether the convolution has a bias."""


class UnetLevel(nn.Module):
    """One level of a U-Net: halves the size, runs the level below, doubles the size, and concatenates the input."""

    def __init__(self, outer: int, inner: int, norm: str, below: nn.Module | None, dropout: bool = False) -> None:
        super().__init__()
        bias = conv_bias(norm)
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias)]
        if below is not None:
            down += [NORMS[norm](inner), below]
        width = inner if below is None else 2 * inner
        up = [nn.ReLU(), nn.ConvTranspose2d(width, outer, 4, stride=2, padding=1, bias=bias), NORMS[norm](outer)]
        self.model = nn.Sequential(*down, *up, *([nn.Dropout(0.5)] if dropout else []))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1)


class UnetOutermost(nn.Module):
    """The first and last convolution of a U-Net, without normalisation."""

    def __init__(self, network: NetworkOptions, ngf: int, below: nn.Module) -> None:
        super().__init__()
        down = nn.Conv2d(network.input_nc, ngf, 4, stride=2, padding=1, bias=conv_bias(network.norm))
        up = nn.ConvTranspose2d(2 * ngf, network.output_nc, 4, stride=2, padding=1)
        self.model = nn.Sequential(down, below, nn.ReLU(), up, nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


def unet_generator(network: NetworkOptions, options: GeneratorOptions, size: int) -> Generator:
    """Create a U-Net that reduces `size` pixels, a power of 2, to 1 pixel (Isola et al. 2017, arXiv:1611.07004)."""
    if options.position or options.upsample != "transpose":
        raise OptionError(f"--position and --upsample resize need a ResNet generator, but --netG is {options.netG}")
    ngf, levels = options.ngf, size.bit_length() - 1
    level = UnetLevel(8 * ngf, 8 * ngf, network.norm, below=None)
    for _ in range(levels - 5):
        level = UnetLevel(8 * ngf, 8 * ngf, network.norm, level, options.dropout)
    for outer in (4 * ngf, 2 * ngf, ngf):
        level = UnetLevel(outer, 2 * outer, network.norm, level)
    return Generator(size, UnetOutermost(network, ngf, level))


def check_size(images: Tensor, multiple: int) -> None:
    """Raise OptionError if height or width is not a multiple of `multiple`."""
    height, width = images.shape[-2:]
    if height % multiple or width % multiple:
        raise OptionError(
            f"this generator needs images whose height and width are multiples of {multiple} but got {height} x "
            f"{width} pixels: change --crop_size or --preprocess, or use another --netG"
        )


class Family(NamedTuple):
    """Generators whose names differ only in a number."""

    pattern: re.Pattern[str]
    build: Callable[[NetworkOptions, GeneratorOptions, int], Generator]
    """creates a generator from the options and the number in its name"""
    examples: str


GENERATORS: dict[str, Family] = {
    "resnet": Family(
        re.compile(r"resnet_([1-9]\d?)blocks", re.ASCII),
        resnet_generator,
        "resnet_9blocks, resnet_6blocks, resnet_Nblocks",
    ),
    "unet": Family(re.compile(r"unet_(128|256)"), unet_generator, "unet_128, unet_256"),
}
KNOWN_GENERATORS = ", ".join(family.examples for family in GENERATORS.values())


def known_generator(name: str) -> str:
    """Return `name` if a family in GENERATORS contains it, otherwise raise ArgumentTypeError with the known names."""
    if any(family.pattern.fullmatch(name) for family in GENERATORS.values()):
        return name
    raise ArgumentTypeError(f"unknown generator {name!r}; known: {KNOWN_GENERATORS}")


@dataclass(frozen=True)
class GeneratorOptions:
    """generators"""

    netG: str = option(
        "resnet_9blocks",
        help=f"architecture: {KNOWN_GENERATORS}",
        parse=known_generator,
        aliases=["which_model_netG"],
        architecture=True,
    )
    ngf: int = option(64, help="width of the first layer", unit="channels", architecture=True, most=512)
    dropout: bool = option(False, help="use dropout in the generators", off_switch=True, architecture=True)
    residual: bool = option(
        False,
        help="let the generators predict a change, initially zero, that is added to the photo; the public code base "
        "cannot load such weights",
        off_switch=True,
        architecture=True,
    )
    upsample: str = option(
        "transpose",
        help="upsampling layers; transpose: transposed convolutions, as in public weights; resize: nearest-neighbour "
        "upsampling followed by a convolution, which avoids checkerboard artefacts",
        choices=tuple(UPSAMPLING),
        architecture=True,
    )
    position: bool = option(
        False,
        help="give the generators the column and row of each pixel; for aligned faces",
        off_switch=True,
        architecture=True,
    )
    grey_hair: float = option(
        0.0,
        help="share by which hair of older faces turns grey, by a fixed rule that is not trained, where "
        "checkpoints/hair_segmenter finds it; the generator G_A makes faces older",
        architecture=True,
        adjustable=True,
        least=0,
        most=1,
    )
    fade: float = option(
        0.0,
        help="with --residual: let the change fade to 0 over this outermost fraction of the width and height, so that "
        "a translated face has no visible border in its photo",
        architecture=True,
        adjustable=True,
        least=0,
        most=0.5,
    )

    def backward(self) -> GeneratorOptions:
        """Return the options of G_B, the generator of the other direction."""
        return replace(self, grey_hair=0.0)


def create_generator(network: NetworkOptions, options: GeneratorOptions) -> Generator:
    """Create the generator that `--netG` names, and initialise its weights."""
    known_generator(options.netG)
    family, match = next(
        (family, match) for family in GENERATORS.values() if (match := family.pattern.fullmatch(options.netG))
    )
    generator = family.build(network, options, int(match[1]))
    initialise(generator, network.init_type, network.init_gain)
    if options.residual:
        generator.begin_as_identity(options.fade)
    if options.grey_hair > 0:
        if (network.input_nc, network.output_nc) != (3, 3):
            raise OptionError(f"--grey_hair {options.grey_hair} needs colour images (--input_nc 3 --output_nc 3)")
        generator.grey_hair = GreyHair(options.grey_hair)
    return generator

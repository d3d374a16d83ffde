"""Discriminators: images to maps of raw logits. State-dict keys are those of the public CycleGAN code base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from models.layers import NORMS, NetworkOptions, conv_bias, initialise
from models.precision import Network
from util.arguments import OptionError, option


class PatchDiscriminator(Network):
    """PatchGAN (Isola et al. 2017, arXiv:1611.07004): each output judges a patch; 3 strided layers see 70 x 70 pixels.

    Maps (N, channels, H, W) in [-1, 1] to raw logits (N, 1, h, w), no sigmoid; 256 x 256 pixels give 30 x 30 logits.
    """

    def __init__(self, channels: int, ndf: int, norm: str, layers: int) -> None:
        super().__init__()
        self.smallest = 3 * 2**layers
        bias = conv_bias(norm)
        modules = [nn.Conv2d(channels, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        width = ndf
        for depth in range(1, layers + 1):
            wider, stride = ndf * min(2**depth, 8), 2 if depth < layers else 1
            modules += [nn.Conv2d(width, wider, 4, stride, padding=1, bias=bias), NORMS[norm](wider), nn.LeakyReLU(0.2)]
            width = wider
        self.model = nn.Sequential(*modules, nn.Conv2d(width, 1, 4, stride=1, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        if min(images.shape[-2:]) < self.smallest:
            raise OptionError(
                f"this discriminator needs images of at least {self.smallest} pixels a side, and got "
                f"{images.shape[-2]} x {images.shape[-1]}: choose a larger --crop_size, or fewer layers by --netD "
                f"n_layers --n_layers_D N"
            )
        return self.compute(images)


class PixelDiscriminator(Network):
    """Judges every pixel on its own, by 1 x 1 convolutions.

    Maps (N, channels, H, W) in [-1, 1] to raw logits (N, 1, H, W), no sigmoid.
    """

    def __init__(self, channels: int, ndf: int, norm: str) -> None:
        super().__init__()
        bias = conv_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(channels, ndf, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            NORMS[norm](2 * ndf),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    @property
    def body(self) -> nn.Module:
        """The layers, under the public code base's name for them."""
        return self.net

    def forward(self, images: Tensor) -> Tensor:
        return self.compute(images)


DISCRIMINATORS: dict[str, Callable[[int, DiscriminatorOptions, str], Network]] = {
    "basic": lambda channels, options, norm: PatchDiscriminator(channels, options.ndf, norm, layers=3),
    "n_layers": lambda channels, options, norm: PatchDiscriminator(channels, options.ndf, norm, options.n_layers_D),
    "pixel": lambda channels, options, norm: PixelDiscriminator(channels, options.ndf, norm),
}


@dataclass(frozen=True)
class DiscriminatorOptions:
    """discriminators"""

    netD: str = option(
        "basic",
        help="basic: a 70 x 70 PatchGAN; n_layers: of a chosen depth; pixel: 1 x 1",
        choices=tuple(DISCRIMINATORS),
        aliases=["which_model_netD"],
        architecture=True,
    )
    ndf: int = option(64, help="width of the first layer", unit="channels", architecture=True)
    n_layers_D: int = option(3, help="strided layers of --netD n_layers", unit="layers", architecture=True)


def create_discriminator(network: NetworkOptions, options: DiscriminatorOptions, channels: int) -> Network:
    """The discriminator that `--netD` names for images of `channels`, with weights drawn as `network` says."""
    discriminator = DISCRIMINATORS[options.netD](channels, options, network.norm)
    initialise(discriminator, network.init_type, network.init_gain)
    return discriminator

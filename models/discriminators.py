"""Discriminators, which map images to raw logits. State-dict keys are those of the public CycleGAN code base."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.age_estimator import AgeEstimator, load_estimator
from models.layers import NORMS, NetworkOptions, conv_bias, initialise
from models.precision import Network
from util.arguments import OptionError, option


class PatchDiscriminator(Network):
    """PatchGAN (Isola et al. 2017, arXiv:1611.07004): each output judges a patch, of 70 x 70 pixels with 3 layers.

    Maps (N, channels, H, W) in [-1, 1] to raw logits (N, 1, h, w) without sigmoid. With 3 layers, 256 x 256 pixels give
    30 x 30 logits.
    """

    def __init__(self, channels: int, ndf: int, norm: str, layers: int) -> None:
        super().__init__()
        self.smallest = smallest_image(layers)
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
                f"this discriminator needs images of at least {self.smallest} x {self.smallest} pixels but got "
                f"{images.shape[-2]} x {images.shape[-1]}: use a larger --crop_size, or fewer layers with --netD "
                f"n_layers --n_layers_D N"
            )
        return self.compute(images)


def smallest_image(layers: int) -> int:
    """Smallest width and height of images for a PatchGAN with that number of strided layers, in pixels."""
    return 3 * 2**layers


class PixelDiscriminator(Network):
    """Judges each pixel separately with 1 x 1 convolutions.

    Maps (N, channels, H, W) in [-1, 1] to raw logits (N, 1, H, W) without sigmoid.
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
        """The layers, which the public code base calls `net` here."""
        return self.net

    def forward(self, images: Tensor) -> Tensor:
        return self.compute(images)


class FeatureHead(Network):
    """Maps a feature map (N, C, h, w) to raw logits (N, 1, h / 2, w / 2) with three convolutions."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.compute(features)


class ProjectedDiscriminator(Network):
    """A PatchGAN and small heads on the frozen features of an age estimator (after Sauer et al. 2021, "Projected GANs",
    arXiv:2111.01007).

    The features describe age. Unlike a fixed estimator, the heads are trained together with the generator, which
    therefore cannot fool them for long with invisible artefacts.

    coarse: a second PatchGAN, which sees images whose shorter side is reduced to `coarse_size` pixels, or None. Its
    patches are larger parts of the face, so that it judges hair and skin as a whole.

    Maps (N, 3, H, W) in [-1, 1] to raw logits (N, M, h, w) without sigmoid: one channel for each PatchGAN and each
    head, resized to the largest of their maps. The estimator is not part of the state dict.
    """

    def __init__(
        self,
        patch: PatchDiscriminator,
        features: FrozenFeatures,
        width: int,
        coarse: PatchDiscriminator | None = None,
        coarse_size: int = 0,
    ) -> None:
        super().__init__()
        self.patch, self.coarse, self.coarse_size = patch, coarse, coarse_size
        self.frozen = (features,)  # in a tuple, so that it is not registered as a submodule
        channels = features.model.feature_channels[: features.levels]
        self.heads = nn.ModuleList(FeatureHead(each, width) for each in channels)

    def parts(self) -> Sequence[Network]:
        """See Network."""
        patches = [self.patch] if self.coarse is None else [self.patch, self.coarse]
        return [*patches, *self.heads, *self.frozen]

    def forward(self, images: Tensor) -> Tensor:
        maps = [self.patch(images)]
        if self.coarse is not None:
            maps.append(self.coarse(reduced(images, self.coarse_size)))
        maps += [head(features) for head, features in zip(self.heads, self.frozen[0](images), strict=True)]
        size = max(map_.shape[-2:] for map_ in maps)
        return torch.cat([F.interpolate(map_, size, mode="nearest") for map_ in maps], dim=1)

    @contextlib.contextmanager
    def plainly(self) -> Iterator[None]:
        """See Network."""
        with contextlib.ExitStack() as stack:
            for part in self.parts():
                stack.enter_context(part.plainly())
            yield


def reduced(images: Tensor, size: int) -> Tensor:
    """Reduce images (N, C, H, W) so that their shorter side has `size` pixels, if it has more."""
    shorter = min(images.shape[-2:])
    if size >= shorter:
        return images
    height, width = (round(length * size / shorter) for length in images.shape[-2:])
    return F.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=True)


class FrozenFeatures(Network):
    """Computes the first `levels` of an age estimator's feature maps for images (N, 3, H, W) in [-1, 1]. If `size` is
    not 0, a larger shorter side is first reduced to `size` pixels; if `smallest` is not 0, passes of a training step
    reduce it to a random size from `smallest` to `size` in steps of 8 pixels. If `grey`, the estimator sees no
    colours."""

    def __init__(self, estimator: AgeEstimator, levels: int, size: int, smallest: int, grey: bool) -> None:
        super().__init__()
        self.model: AgeEstimator = estimator
        self.levels = levels
        self.size, self.smallest, self.grey = size, smallest, grey

    def forward(self, images: Tensor) -> list[Tensor]:
        size = self.size
        if self.smallest and torch.is_grad_enabled():  # measurements between the steps draw no random numbers
            size -= 8 * int(torch.randint((size - self.smallest) // 8 + 1, ()))
        if size > 0:
            images = reduced(images, size)
        if self.grey:
            # Equal weights keep the heads' gradient grey; luminance weights would favour green.
            images = images.mean(dim=1, keepdim=True).expand_as(images)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None):
            return self.model.features(images, self.levels)


def projected_discriminator(
    options: DiscriminatorOptions, channels: int, norm: str, device: torch.device
) -> ProjectedDiscriminator:
    """Create a PatchGAN with heads on the features of `--features`. Raises CheckpointError if it cannot be read."""
    seen = (options.features_levels, options.features_size, options.features_smallest, options.features_grey)
    features = FrozenFeatures(load_estimator(options.features, device), *seen)
    patch = PatchDiscriminator(channels, options.ndf, norm, options.n_layers_D)
    coarse_size = options.coarse_size
    coarse = PatchDiscriminator(channels, options.ndf, norm, options.n_layers_D) if coarse_size > 0 else None
    return ProjectedDiscriminator(patch, features, options.head_width, coarse, coarse_size)


DISCRIMINATORS: dict[str, Callable[[DiscriminatorOptions, int, str, torch.device], Network]] = {
    "basic": lambda options, channels, norm, _: PatchDiscriminator(channels, options.ndf, norm, layers=3),
    "n_layers": lambda options, channels, norm, _: PatchDiscriminator(channels, options.ndf, norm, options.n_layers_D),
    "pixel": lambda options, channels, norm, _: PixelDiscriminator(channels, options.ndf, norm),
    "projected": projected_discriminator,
}


@dataclass(frozen=True)
class DiscriminatorOptions:
    """discriminators"""

    netD: str = option(
        "basic",
        help="architecture; basic: 70 x 70 PatchGAN; n_layers: PatchGAN with --n_layers_D layers; pixel: 1 x 1 "
        "PatchGAN; projected: n_layers with additional heads on the frozen features of an age estimator",
        choices=tuple(DISCRIMINATORS),
        aliases=["which_model_netD"],
        architecture=True,
    )
    ndf: int = option(64, help="width of the first layer", unit="channels", architecture=True, most=512)
    n_layers_D: int = option(
        3, help="number of strided layers of --netD n_layers and projected", architecture=True, most=8
    )
    norm_D: str = option(
        "same",
        help="normalisation in the discriminators; same: as --norm; spectral: spectral normalisation of the weights",
        choices=("same", *NORMS, "spectral"),
        architecture=True,
    )
    features: Path = option(
        Path("checkpoints/age_estimator/teacher.safetensors"),
        help="age estimator for --netD projected: a file that scripts/train_age_estimator.py wrote",
    )
    features_levels: int = option(
        3,
        help="number of heads of --netD projected: on the features at strides of 2, 4, 8 and, with 4 heads, 16 pixels",
        architecture=True,
        least=1,
        most=4,
    )
    features_size: int = option(
        0,
        help="size of the shorter side to which images are reduced for --features, best close to the size that the "
        "estimator was trained with; 0: no resizing",
        unit="pixels",
        architecture=True,
        most=512,
    )
    features_smallest: int = option(
        0,
        help="reduce images for --features to a random size in each pass, from this size to --features_size, so that "
        "no pattern of one size satisfies the heads; 0: always to --features_size",
        unit="pixels",
        architecture=True,
        most=512,
    )
    features_grey: bool = option(
        False,
        help="convert images to grey for --features, so that only the PatchGAN of --netD projected judges colours",
        off_switch=True,
        architecture=True,
    )
    head_width: int = option(
        64, help="width of the heads of --netD projected", unit="channels", architecture=True, most=512
    )

    coarse_size: int = option(
        0,
        help="size of the shorter side to which images are reduced for a second PatchGAN of --netD projected, which "
        "sees hair and skin as a whole; 0: no second PatchGAN",
        unit="pixels",
        architecture=True,
        most=512,
    )

    def __post_init__(self) -> None:
        if self.features_smallest > self.features_size:
            raise OptionError(
                f"--features_smallest {self.features_smallest} must not exceed --features_size {self.features_size}"
            )

        if self.netD == "projected" and 0 < self.coarse_size < smallest_image(self.n_layers_D):
            raise OptionError(
                f"--coarse_size {self.coarse_size}: must be at least {smallest_image(self.n_layers_D)} pixels, or use "
                "fewer layers with --n_layers_D"
            )

    @property
    def features_used(self) -> Path | None:
        """Path of the estimator whose features are used; None if none is used."""
        return self.features if self.netD == "projected" else None


def create_discriminator(
    network: NetworkOptions, options: DiscriminatorOptions, channels: int, device: torch.device
) -> Network:
    """Create the discriminator that `--netD` names for images with `channels` channels, and initialise its weights.

    Raises CheckpointError if the estimator of `--netD projected` cannot be read.
    """
    norm = network.norm if options.norm_D == "same" else options.norm_D
    discriminator = DISCRIMINATORS[options.netD](options, channels, "none" if norm == "spectral" else norm, device)
    initialise(discriminator, network.init_type, network.init_gain)
    if norm == "spectral":
        normalise_spectrally(discriminator)
    return discriminator.to(device)


def normalise_spectrally(network: nn.Module) -> None:
    """Divide each convolution's weight by its largest singular value (Miyato et al. 2018, arXiv:1802.05957)."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            spectral_norm(module)

"""Losses as pure functions of tensors that return scalars."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GANLoss(NamedTuple):
    """An adversarial objective: the losses of generator and discriminator, given raw logits of any shape."""

    generator: Callable[[Tensor], Tensor]
    """loss from the logits of translated images"""
    discriminator: Callable[[Tensor, Tensor], Tensor]
    """loss from the logits of real images and those of translated images"""
    middle: float = 0.0
    """the logit at the decision boundary between real and translated images"""


def _vanilla_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return (real - 1.0).square().mean() + fake.square().mean()


def _wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


GAN_LOSSES: dict[str, GANLoss] = {
    # Mao et al. 2017, arXiv:1611.04076
    "lsgan": GANLoss(lambda fake: (fake - 1.0).square().mean(), _lsgan_discriminator, middle=0.5),
    # Goodfellow et al. 2014, arXiv:1406.2661, the non-saturating form
    "vanilla": GANLoss(lambda fake: F.softplus(-fake).mean(), _vanilla_discriminator),
    # Gulrajani et al. 2017, arXiv:1704.00028; the penalty is `gradient_penalty`
    "wgangp": GANLoss(lambda fake: -fake.mean(), _wasserstein_discriminator),
    # Lim and Ye 2017, arXiv:1705.02894
    "hinge": GANLoss(lambda fake: -fake.mean(), _hinge_discriminator),
}


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Compute the mean of (|gradient| - 1)^2 at N random points between real and fake (arXiv:1704.00028, algorithm 1).

    real, fake: (N, C, H, W). The points are drawn from torch's generator of the images' device.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    between = (share * real + (1.0 - share) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1.0).square().mean()


def gradient_penalty_on_real(discriminator: nn.Module, real: Tensor) -> Tensor:
    """Compute R1: the mean squared norm of the gradient of each real image's mean logit with respect to the image
    (Mescheder et al. 2018, arXiv:1801.04406, equation 9). real: (N, C, H, W)."""
    real = real.detach().requires_grad_(True)
    scores = discriminator(real).flatten(1).mean(dim=1)
    (gradient,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return gradient.flatten(1).square().sum(dim=1).mean()


def reconstruction(output: Tensor, target: Tensor) -> Tensor:
    """Compute the mean absolute difference, for the cycle and identity losses (Zhu et al. 2017, arXiv:1703.10593)."""
    return F.l1_loss(output, target)


def tint(output: Tensor, photo: Tensor) -> Tensor:
    """Compute the mean distance of the output's colours from those that fading leaves of the photo's.

    output, photo: (N, 3, H, W). The colour of a pixel is its difference from grey, (r, g, b) minus their mean. Colours
    between grey and the photo's cost nothing, so that hair may turn grey; other hues and stronger colours do.
    """
    colour = output - output.mean(dim=1, keepdim=True)
    before = photo - photo.mean(dim=1, keepdim=True)
    kept = (colour * before).sum(dim=1, keepdim=True) / before.square().sum(dim=1, keepdim=True).clamp(min=1e-6)
    return F.l1_loss(colour, kept.clamp(0, 1) * before)


def lightening(output: Tensor, photo: Tensor) -> Tensor:
    """Compute the mean brightness that the output adds to skin, to eyes, and to whatever is as light as skin.

    output, photo: (N, 3, H, W) in [-1, 1]. The brightness of the skin is the median in the central half of the photo.
    Dark areas, such as most dark hair and beards, may get lighter at no cost: those with less than half of that
    brightness on an average over a twelfth of the height and width, which is more than an eye covers. From nine tenths
    on, pixels have their full weight.
    """
    before, after = brightness_of(photo), brightness_of(output)
    return 2 * (_lightness_of_skin(before) * (after - before).clamp(min=0)).mean()


def darkening(output: Tensor, photo: Tensor) -> Tensor:
    """Compute the mean darkness that the output adds to areas of skin, beyond a tenth of their brightness.

    output, photo: (N, 3, H, W) in [-1, 1]. Brightness is averaged over a twelfth of the height and width, so that
    wrinkles cost nothing, and dark patches do. What counts as skin, and how much, is as in `lightening`.
    """
    before = brightness_of(photo)
    around = _mean_around(before)
    loss = (around - _mean_around(brightness_of(output))) / around.clamp(min=0.1)
    return (_lightness_of_skin(before) * (loss - 0.1).clamp(min=0)).mean()


def brightness_of(images: Tensor) -> Tensor:
    """Return the mean of the channels (N, 1, H, W) in [0, 1]."""
    return (images.mean(dim=1, keepdim=True) + 1) / 2


def _mean_around(brightness: Tensor) -> Tensor:
    """Return the mean over windows of a twelfth of the height and width."""
    window = [length // 12 // 2 * 2 + 1 for length in brightness.shape[2:]]
    padding = [length // 2 for length in window]
    return F.avg_pool2d(brightness, window, stride=1, padding=padding, count_include_pad=False)


def _lightness_of_skin(brightness: Tensor) -> Tensor:
    """Return weights from 0 to 1: 0 in areas that are less than half as bright as the skin, 1 from nine tenths on."""
    height, width = brightness.shape[2:]
    centre = brightness[..., height // 4 : 3 * height // 4, width // 4 : 3 * width // 4].flatten(1)
    skin = centre.median(dim=1).values.clamp(min=1e-3).view(-1, 1, 1, 1)
    return ((torch.maximum(brightness, _mean_around(brightness)) / skin - 0.5) / 0.4).clamp(0, 1)

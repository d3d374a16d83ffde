"""Pixel metrics: L1, PSNR, SSIM, sharpness. Images are tensors (N, 3, H, W) in [-1, 1], results (N,)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_PSNR = 10 * math.log10(12 * 255**2)
"""58.9 dB, the error of rounding to 8 bits. Images with a smaller difference count as equal."""
WINDOW, SIGMA = 11, 1.5
LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
LUMA = (0.299, 0.587, 0.114)


def l1(first: Tensor, second: Tensor) -> Tensor:
    """The mean absolute difference, in grey levels of 255."""
    return (first.float() - second.float()).abs().mean(dim=(1, 2, 3)) * 127.5


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """The peak signal to noise ratio in dB, at most MOST_PSNR."""
    error = (first.float() - second.float()).square().mean(dim=(1, 2, 3)) / 4  # of a range of 1
    return (-10 * torch.log10(error.clamp(min=1e-12))).clamp(max=MOST_PSNR)


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, IEEE Transactions on Image Processing 13), mean over the three channels.

    Uses a Gaussian window of 11 x 11 pixels and sigma 1.5 at all positions inside the image, and a smaller window for
    images below 11 pixels.
    """
    first, second = (first.float() + 1) / 2, (second.float() + 1) / 2
    window = _window(min(WINDOW, *first.shape[-2:])).to(first.device)
    means = _blurred(first, window), _blurred(second, window)
    variances = [
        _blurred(image.square(), window) - mean.square() for image, mean in zip((first, second), means, strict=True)
    ]
    covariance = _blurred(first * second, window) - means[0] * means[1]
    small, smaller = 0.01**2, 0.03**2
    luminance = (2 * means[0] * means[1] + small) / (means[0].square() + means[1].square() + small)
    structure = (2 * covariance + smaller) / (variances[0] + variances[1] + smaller)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _window(size: int) -> Tensor:
    """A Gaussian window (size,) with sum 1."""
    places = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    weights = torch.exp(-places.square() / (2 * SIGMA**2))
    return weights / weights.sum()


def _blurred(images: Tensor, window: Tensor) -> Tensor:
    channels = images.shape[1]
    down = window.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    across = window.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(images, down, groups=channels), across, groups=channels)


def sharpness(images: Tensor) -> Tensor:
    """The variance of the Laplacian of the luminance, in squared grey levels of 255 (Pech-Pacheco et al. 2000, "Diatom
    autofocusing in brightfield microscopy"). Noise and checkerboards count as sharp, too."""
    luma = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    grey = (images.float() * luma).sum(dim=1, keepdim=True) * 127.5
    kernel = torch.tensor(LAPLACIAN, device=images.device).view(1, 1, 3, 3)
    return F.conv2d(grey, kernel).var(dim=(1, 2, 3), correction=0)

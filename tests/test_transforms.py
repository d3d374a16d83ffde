"""Each `--preprocess` mode, crops and flips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from data.transforms import MODES, TransformOptions, UnusablePhotoError, transform
from util.arguments import OptionError
from util.images import image_to_tensor


def photo(width: int = 60, height: int = 90) -> Image.Image:
    """Red grows to the right, green downwards."""
    x = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8))


def options(preprocess: str, load_size: int = 48, crop_size: int = 32, no_flip: bool = True) -> TransformOptions:
    return TransformOptions(preprocess, load_size, crop_size, no_flip)


@pytest.mark.parametrize(
    ("preprocess", "height", "width"),
    [
        ("resize_and_crop", 32, 32),
        ("crop", 32, 32),
        ("scale_width_and_crop", 32, 32),
        ("resize", 48, 48),
        ("scale_width", 72, 48),  # 90 * 48 / 60
        ("none", 88, 60),  # 90 to the nearest multiple of 4 (halves to even)
    ],
)
def test_size_of_each_mode(preprocess: str, height: int, width: int) -> None:
    assert set(MODES) >= {preprocess}
    assert transform(photo(), options(preprocess), 3, np.random.default_rng(0)).shape == (3, height, width)


def test_resizing_covers_the_whole_photo_and_cropping_a_part() -> None:
    whole = transform(photo(), options("resize"), 3, None)
    assert whole[0].max() - whole[0].min() > 1.9 and whole[1].max() - whole[1].min() > 1.9
    part = transform(photo(), options("crop"), 3, None)
    assert part[0].max() - part[0].min() == pytest.approx(2 * 31 / 59, abs=0.03), "32 of 60 columns, unscaled"
    part = transform(photo(), options("scale_width_and_crop"), 3, None)
    assert part[0].max() - part[0].min() == pytest.approx(2 * 31 / 47, abs=0.05), "32 of 48 columns"


def test_scale_width_and_crop_enlarges_what_would_be_too_low() -> None:
    assert transform(photo(90, 30), options("scale_width_and_crop"), 3, None).shape == (3, 32, 32)


def test_none_leaves_pixels_of_fitting_photos_alone() -> None:
    image = photo(60, 88)
    assert torch.equal(transform(image, options("none"), 3, None), image_to_tensor(image))


def test_random_crops_reach_every_place_and_test_crops_the_middle() -> None:
    rng = np.random.default_rng(0)
    corners = {tuple(transform(photo(36, 36), options("crop"), 3, rng)[:2, 0, 0].tolist()) for _ in range(300)}
    assert len(corners) == 25, "36 - 32 + 1 places in each direction"
    middle = transform(photo(36, 36), options("crop"), 3, None)
    assert torch.equal(middle, image_to_tensor(photo(36, 36))[:, 2:34, 2:34])


def test_half_of_the_photos_are_flipped_unless_forbidden() -> None:
    rng = np.random.default_rng(0)
    image, setting = photo(32, 32), options("none", no_flip=False)
    flipped = [bool(transform(image, setting, 3, rng)[0, 0, 0] > 0) for _ in range(400)]
    assert 0.42 < sum(flipped) / 400 < 0.58
    assert torch.equal(transform(image, setting, 3, None), image_to_tensor(image))
    assert not any(transform(image, options("none"), 3, rng)[0, 0, 0] > 0 for _ in range(20))


def test_one_channel_is_the_luminance() -> None:
    grey = transform(Image.new("RGB", (32, 32), (0, 255, 0)), options("none"), 1, None)
    assert grey.shape == (1, 32, 32)
    assert grey.mean().item() == pytest.approx(0.587 * 2 - 1, abs=0.01)


def test_a_photo_smaller_than_its_crop_is_unusable() -> None:
    with pytest.raises(UnusablePhotoError, match=r"20 x 90.*--crop_size 32.*resize_and_crop"):
        transform(photo(20, 90), options("crop"), 3, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resize_and_crop", 24, 32), r"--load_size 24 is smaller than --crop_size 32"),
        (("crop", 48, 30), r"--crop_size 30.*multiple of 4, for example (28|32)"),
        (("resize", 0, 32), r"--load_size 0"),
    ],
)
def test_sizes_that_cannot_be(arguments: tuple[str, int, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        options(*arguments)

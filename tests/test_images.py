"""Photo files of every kind to RGB, and tensors to images."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aging.photo_file import read_photo
from util.images import image_to_tensor, save_png, tensor_to_uint8
from util.photos import UnreadableImageError, opened_photo, read_image

RAMP = np.linspace(0, 255, 16 * 12).reshape(12, 16).astype(np.uint8)


def saved(tmp_path: Path, image: Image.Image, name: str, **settings: object) -> Path:
    image.save(tmp_path / name, **settings)
    return tmp_path / name


def pixels(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    values = pixels(saved(tmp_path, Image.fromarray(RAMP), "grey.png"))
    assert np.array_equal(values, np.repeat(RAMP[:, :, None], 3, axis=2))


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    deep = RAMP.astype(np.uint16) * 257
    for name in ("deep.png", "deep.tif"):
        values = pixels(saved(tmp_path, Image.fromarray(deep), name))
        assert np.abs(values[:, :, 0] - RAMP).max() <= 1, name


def test_floating_point_and_32_bit_files(tmp_path: Path) -> None:
    as_float = pixels(saved(tmp_path, Image.fromarray(RAMP.astype(np.float32) / 255), "float.tif"))
    assert np.abs(as_float[:, :, 1] - RAMP).max() <= 1
    as_int = pixels(saved(tmp_path, Image.fromarray(RAMP.astype(np.int32) * 257), "int.tif"))
    assert np.abs(as_int[:, :, 1] - RAMP).max() <= 1


def test_palette_and_transparency(tmp_path: Path) -> None:
    colours = Image.new("RGB", (4, 1))
    colours.putdata([(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 8, 7)])
    path = saved(tmp_path, colours.quantize(4), "palette.png")
    assert pixels(path)[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]]
    glass = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    glass.putpixel((1, 0), (200, 0, 0, 0))
    assert pixels(saved(tmp_path, glass, "glass.png"))[0].tolist() == [[200, 0, 0], [255, 255, 255]]


def test_cmyk(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "print.jpg", quality=100)
    red, green, blue = pixels(path)[8, 8]
    assert red < 20 and green > 230 and blue > 230, "pure cyan ink"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = Image.new("RGB", (32, 16), "white")
    upright.paste((255, 0, 0), (0, 0, 8, 8))  # red at the top left
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that a camera's turn would have made
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(inverse[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = pixels(saved(tmp_path, stored, "turned.png", exif=exif))
    assert values.shape == (16, 32, 3)
    assert values[2, 2].tolist() == [255, 0, 0] and values[2, 29].tolist() == [255, 255, 255]


def broken_files(folder: Path) -> list[Path]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    whole = {suffix: saved(folder, noise, f"whole.{suffix}").read_bytes() for suffix in ("jpg", "png", "tif", "webp")}
    contents = {f"truncated.{suffix}": data[: len(data) // 2] for suffix, data in whole.items()}
    contents |= {"empty.jpg": b"", "text.jpg": b"this is no photo", "head_only.png": whole["png"][:40]}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in contents]


def test_damaged_files_raise_one_error_with_their_name(tmp_path: Path) -> None:
    for path in [*broken_files(tmp_path), tmp_path / "absent.jpg"]:
        with pytest.raises(UnreadableImageError) as caught:
            read_image(path)
        assert path.name in str(caught.value) and len(caught.value.reason) > 5
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value), "must cross process borders"


def test_damaged_exif_data_leave_a_photo_as_it_lies(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RAMP), "lying.webp", exif=b"MM=*\0\0\0\x08", lossless=True)
    assert np.array_equal(pixels(path)[..., 0], RAMP) and read_photo(path).image.size == (16, 12)


def test_a_decoder_s_reason_becomes_one_line(tmp_path: Path) -> None:
    """Those of libheif for truncated files end with a new line."""
    path = saved(tmp_path, Image.fromarray(RAMP), "whole.png")
    with pytest.raises(UnreadableImageError, match=r"\(no data at 3515\)$"), opened_photo(path):
        raise ValueError("no data\nat 3515\n")


def test_uint8_to_tensor_and_back_is_exact(tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    tensor = image_to_tensor(Image.fromarray(array))
    assert tensor.shape == (3, 20, 30)
    assert tensor.min() == -1 and tensor.max() == 1
    assert np.array_equal(tensor_to_uint8(tensor), array)
    save_png(tmp_path / "image.png", array)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "image.png")), array)
    assert [path.name for path in tmp_path.iterdir()] == ["image.png"]


def test_tensors_beyond_the_range_are_clamped_and_batches_keep_their_order() -> None:
    assert tensor_to_uint8(torch.tensor([[[[-7.0, 7.0]]], [[[0.0, -1.0]]]])).tolist() == [
        [[[0], [255]]],
        [[[128], [0]]],
    ]

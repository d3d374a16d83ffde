"""The face recogniser: dlib's network out of dlib's file, without dlib."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from faces.align import CHIP_WINDOW
from faces.recognise import SIZE, Recogniser, fill, load_recogniser, read_integer, read_weights
from util.errors import UserError
from util.images import part_of

installed = pytest.mark.skipif(
    importlib.util.find_spec("face_recognition_models") is None,
    reason="face-recognition-models is not installed, which has the weights",
)

DLIB_SAYS = (-0.05578, 0.09179, 0.0634, -0.01328, -0.0709, -0.057, -0.08671, -0.01825)
"""The first numbers of what dlib 20.0.1's compute_face_descriptor returns for `pattern`."""


def pattern() -> torch.Tensor:
    y, x = np.mgrid[:SIZE, :SIZE]
    pixels = np.stack([y + x, 200 - y, (x * y) // 100], axis=-1).astype(np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1


@installed
def test_the_vectors_are_dlibs() -> None:
    vector = load_recogniser()(pattern())
    assert vector.shape == (1, 128)
    assert vector[0, :8].tolist() == pytest.approx(DLIB_SAYS, abs=1e-5)


@installed
def test_photos_of_other_sizes_are_resized_and_batches_change_nothing() -> None:
    recogniser = load_recogniser()
    large = torch.nn.functional.interpolate(pattern(), (300, 300), mode="bilinear")
    vectors = recogniser(torch.cat([large, large.flip(3)]))
    torch.testing.assert_close(vectors[:1], recogniser(large), rtol=0, atol=1e-5)
    assert (vectors[0] - recogniser(pattern())[0]).norm() < 0.05 < (vectors[0] - vectors[1]).norm()


@installed
def test_gradients_reach_the_image_and_not_the_weights() -> None:
    recogniser = load_recogniser()
    image = pattern().requires_grad_()
    recogniser(image).square().sum().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in recogniser.parameters())


def test_the_window_is_that_part_of_an_aligned_image() -> None:
    columns = torch.linspace(-1, 1, 256).expand(1, 3, 256, 256)
    seen = part_of(columns, CHIP_WINDOW)
    assert seen.shape == (1, 3, 191, 190)
    middle = (CHIP_WINDOW[0] + CHIP_WINDOW[2]) - 1
    assert seen.mean().item() == pytest.approx(middle, abs=0.01)


def test_integers_as_dlib_writes_them() -> None:
    content = b"\x00\x01\x07\x02\x80\x12\x81\x18"
    values, at = [], 0
    while at < len(content):
        value, at = read_integer(content, at)
        values.append(value)
    assert values == [0, 7, 4736, -24]


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 4736 weights, but got 3"):
        fill(Recogniser(), iter([np.zeros(3, np.float32)]))
    with pytest.raises(ValueError, match="but got 0"):
        fill(Recogniser(), iter([]))
    whole = b"\x01\x05con_4\x01\x02\x01\x02\x01\x01\x01\x01\x01\x01" + np.float32([1, 2]).tobytes()
    assert [values.tolist() for values in read_weights(whole)] == [[1.0, 2.0]]
    with pytest.raises(ValueError):
        list(read_weights(whole[:-1]))


@pytest.mark.parametrize("content", [None, b"", b"\x01\x05con_4\x01", b"\x01\x05con_4\x01\x02\x01\x02\x01\x01"])
def test_weights_that_are_missing_or_damaged_are_told(content: bytes | None, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    package = tmp_path / "face_recognition_models"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("import pkg_resources_that_is_gone")
    if content is not None:
        (package / "models" / "dlib_face_recognition_resnet_model_v1.dat").write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="pip install"):
        load_recogniser()

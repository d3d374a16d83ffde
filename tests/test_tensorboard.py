"""What TensorBoard finds, read back by its own reader."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from util.arguments import OptionError
from util.sinks.base import Moment
from util.sinks.tensorboard import TensorBoardSink

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def moment(images: int) -> Moment:
    return Moment(1, 2, images, 100, images, 0.5, 0.1, 0.0002)


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, round(event.value, 6)) for event in events.Scalars(name)]


def test_scalars_images_and_options_arrive(tmp_path: Path) -> None:
    sink = TensorBoardSink(tmp_path, "lr: 0.0002")
    for images in (10, 20):
        sink.scalars(moment(images), {"G_A": images / 10})
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:, :, 0] = 255
    sink.images(moment(20), {"fake_B": picture, "mask": np.zeros((4, 6, 1), np.uint8)})
    sink.close()
    assert scalars(tmp_path, "loss/G_A") == [(10, 1.0), (20, 2.0)]
    assert scalars(tmp_path, "learning_rate")[0] == (10, 0.0002)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (image,) = events.Images("fake_B")
    assert (image.step, image.width, image.height) == (20, 6, 4)
    assert set(events.Tags()["images"]) == {"fake_B", "mask"}


def test_a_continued_run_has_each_position_once(tmp_path: Path) -> None:
    first = TensorBoardSink(tmp_path, "")
    for images in (10, 20, 30):
        first.scalars(moment(images), {"G_A": 1.0})
    first.close()
    again = TensorBoardSink(tmp_path, "", total_images=20)
    for images in (30, 40):
        again.scalars(moment(images), {"G_A": 2.0})
    again.close()
    assert scalars(tmp_path, "loss/G_A") == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0)]


def test_without_the_package_the_option_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(OptionError, match="pip install tensorboard"):
        TensorBoardSink(tmp_path, "")

"""Command lines of the public code, and photos as people have them: they run, or say what would."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_test_loaders
from data.image_folder import DataError, _tell, list_images, root_of, unique_stems
from models import create_model
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions
from options import TestOptions, parse_test_options, parse_train_options
from util import photos
from util.arguments import OptionError
from util.photos import describe_left_out, read_image
from util.sinks.base import Moment
from util.sinks.wandb import WandbSink

CPU = torch.device("cpu")


def save(path: Path, format: str | None = None, mode: str = "RGB") -> Path:
    """A colourful picture as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(24 * 24 * 3, dtype=np.uint16).reshape(24, 24, 3) % 256
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(path, format=format)
    return path


def saved_run(folder: Path, **options: object) -> list[str]:
    """Checkpoints of untrained generators; returns the words that name the run."""
    network = NetworkOptions(int(options.get("input_nc", 3)), int(options.get("output_nc", 3)))  # type: ignore[call-overload]
    (folder / "run").mkdir()
    for name, kind in (("G_A", network), ("G_B", network.reversed())):
        generator = create_generator(kind, GeneratorOptions("resnet_1blocks", 4))
        torch.save(generator.state_dict(), folder / "run" / f"latest_net_{name}.pth")
    saved = {"netG": "resnet_1blocks", "ngf": 4, "load_size": 16, "crop_size": 16, **options}
    (folder / "run" / "opt.json").write_text(json.dumps(saved))
    return ["--name", "run", "--checkpoints_dir", str(folder), "--gpu_ids", "-1", "--num_threads", "0"]


def translated(options: TestOptions) -> dict[str, torch.Size]:
    """The shapes of what test.py's model makes of the first photo."""
    model = create_model(options.choice.model, options.model, CPU, training=False)
    options.folder.load_networks(options.checkpoint.label, model.networks)
    loaders = create_test_loaders(options.choice.dataset_mode, options.data, options.loading, options.model.channels, 1)
    batch = next(iter(loaders["A"].epoch()))
    return {name: image.shape for name, image in model.translate(batch).items()}


@pytest.mark.parametrize(("suffix", "channels"), [("_A", (1, 3)), ("_B", (3, 1))])
def test_one_direction_takes_photos_of_its_own_domain(tmp_path: Path, suffix: str, channels: tuple[int, int]) -> None:
    words = saved_run(tmp_path, input_nc=1, output_nc=3)
    photo = save(tmp_path / "photos" / "me.png")
    words += ["--model", "test", "--model_suffix", suffix, "--dataroot"]
    for dataroot in (photo.parent, photo):
        shapes = translated(parse_test_options([*words, str(dataroot)]))
        assert [shape[1] for shape in shapes.values()] == list(channels)
    assert unique_stems(list_images(photo), photo) == {photo: "me"} and root_of(photo) == photo.parent


def test_what_one_direction_needs_is_offered(tmp_path: Path) -> None:
    words = saved_run(tmp_path)
    photo = save(tmp_path / "data" / "testA" / "me.png")
    with pytest.raises(OptionError, match=r"--model_suffix _A \(young to old\) or --model_suffix _B \(old to young\)"):
        parse_test_options([*words, "--model", "test", "--dataroot", str(photo)])
    (tmp_path / "run" / "latest_net_G_A.pth").unlink()
    with pytest.raises(OptionError, match=r"latest_net_G_A\.pth: use --model_suffix _B \(old to young\)$"):
        parse_test_options([*words, "--model", "test", "--model_suffix", "_A", "--dataroot", str(photo)])
    for dataroot, told in (
        (tmp_path / "data", r"testB is not a folder: .* --model test .* --dataroot .*testA"),
        (photo, r"me\.png is one photo: translate it with --model test --model_suffix _A"),
    ):
        options = parse_test_options([*words, "--dataroot", str(dataroot)])
        with pytest.raises(DataError, match=told):
            create_test_loaders("unaligned", options.data, options.loading, {"A": 3, "B": 3}, None)


def test_public_command_lines_run_and_say_what_has_no_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*saved_run(tmp_path), "--dataroot", str(tmp_path)]
    parse_test_options(
        [
            *words,
            *(
                "--eval --ndf 64 --netD basic --n_layers_D 3 --init_type normal --init_gain 0.02 --use_wandb "
                "--max_dataset_size inf"
            ).split(),
        ]
    )
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7 and "note: --eval has no effect: networks are always in evaluation mode" in lines[0]
    options = parse_train_options(
        ["--dataroot", "x", "--max_dataset_size", "inf", "--use_wandb", "--wandb_project_name", "faces"]
    )
    assert options.data.max_dataset_size is None and options.display.wandb_project_name == "faces"


def test_wandb_keeps_all_in_the_folder_when_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    moment = Moment(1, 2, 8, 16, 8, 0.1, 0.0, 2e-4)
    for _ in range(2):
        sink = WandbSink(tmp_path, "faces", "run", {"ngf": 4})
        sink.scalars(moment, {"G_A": 0.123456})
        sink.images(moment, {"fake_B": np.zeros((8, 8, 3), np.uint8)})
        sink.measures(moment, {"years_A": 3.0})
        sink.close()
    number = (tmp_path / "wandb" / "run_id").read_text()
    records = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len(records) == 2 and all(number in path.name for path in records), "one run, that was continued"
    wanted = (b"G_A", b"0.123456", b"held_out/years_A")
    deadline = time.monotonic() + 240  # wandb's own process may write a moment after the run was finished
    while not all(word in path.read_bytes() for path in records for word in wanted):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/fake_B*.png"))


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.jfif", "JPEG"),
        ("a.JPE", "JPEG"),
        ("a.gif", "GIF"),
        ("a.avif", "AVIF"),
        ("a.heic", "HEIF"),
        ("a.jp2", "JPEG2000"),
        ("a.jpg", "WEBP"),
    ],
)
def test_photos_are_found_by_any_usual_ending_and_read_by_content(tmp_path: Path, name: str, format: str) -> None:
    if format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if format not in photos.FORMATS:
        pytest.skip(f"this Pillow does not read {format}")
    path = save(tmp_path / name, format)
    assert list_images(tmp_path) == [path]
    image = read_image(path)
    assert image.size == (24, 24) and image.mode == "RGB" and len(image.getcolors(24 * 24) or []) > 50


def test_what_is_left_out_is_counted_by_ending_and_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _tell.cache_clear()
    save(tmp_path / "a.png")
    for name in ("b.RAW", "c.raw", "notes.txt", "README", ".hidden.raw"):
        (tmp_path / name).write_text("")
    list_images(tmp_path)
    list_images(tmp_path)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.rstrip().endswith("suffix: 2 .raw, 1 without a suffix, 1 .txt")
    assert describe_left_out({".heic": 2}) == "2 .heic (pip install pillow-heif)"
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"contains no images .*2 \.raw"):
        list_images(tmp_path)


@pytest.mark.parametrize(("top", "shown"), [(4095, 255), (2000, 125)])
def test_twelve_bits_in_files_of_sixteen_are_not_black(tmp_path: Path, top: int, shown: int) -> None:
    values = np.linspace(0, top, 24 * 24).reshape(24, 24).astype(np.uint16)
    for ending in ("png", "tif"):
        Image.fromarray(values).save(tmp_path / f"a.{ending}")
        assert abs(int(np.asarray(read_image(tmp_path / f"a.{ending}")).max()) - shown) <= 1

"""export.py: files that compute what the networks do, say what they expect, and are used without this project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from processes import ROOT, run
from safetensors import safe_open
from small_runs import make_run

import export
from aging.card import METADATA_KEY, Card, CardError
from aging.exporting import plain_copy, read_onnx, read_torchscript, write_onnx
from aging.trained import run_generators
from models.fast.speed import SpeedOptions, accelerate
from util.run.run_folder import RunFolder

ODD_SIZES = [(1, 20, 36), (3, 44, 28), (2, 128, 64)]
"""Numbers of images, heights and widths: odd multiples of 4, wide, tall, several at a time."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the kinds of generators that there are: as the public code has them, and as this project ships them."""
    folder = tmp_path_factory.mktemp("checkpoints")
    make_run(folder, "public")
    make_run(folder, "shipped", residual=True, upsample="resize", position=True, fade=0.1)
    return folder


@pytest.fixture(scope="module", params=["public", "shipped"])
def exported(request: pytest.FixtureRequest, checkpoints: Path) -> Path:
    """The folder of a run whose generators lie there as ONNX files, too."""
    export.main(["--name", request.param, "--checkpoints_dir", str(checkpoints)])
    return checkpoints / request.param


def card_of(path: Path) -> Card:
    """What an exported file says, read as other programs would."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return Card.from_metadata(session.get_modelmeta().custom_metadata_map, path)
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return Card.from_metadata(file.metadata(), path)
    torch.jit.load(path, _extra_files=(extra := {METADATA_KEY: ""}))
    return Card.from_metadata({METADATA_KEY: extra[METADATA_KEY].decode()}, path)  # type: ignore[attr-defined]


def images_of(shape: tuple[int, int, int]) -> torch.Tensor:
    count, height, width = shape
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_onnx_files_compute_what_the_networks_do(exported: Path) -> None:
    generators = run_generators(RunFolder(exported.parent, exported.name))
    for direction in ("older", "younger"):
        translate = read_onnx(exported / f"latest_{direction}.onnx")
        for shape in ODD_SIZES:
            images = images_of(shape)
            difference = (translate(images) - generators[direction].network(images)).abs().max()
            assert difference < 2e-5, "a hundredth of a grey level would be 8e-5"
    older, younger = (generators[direction].network(images_of((1, 64, 64))) for direction in ("older", "younger"))
    assert (older - younger).abs().max() > 0.1


def test_the_file_says_what_it_expects(exported: Path) -> None:
    card = card_of(exported / "latest_older.onnx")
    assert (card.direction, card.network, card.size, card.size_multiple) == ("older", "G_A", 64, 4)
    assert (card.range, card.output, card.input_channels) == ((-1.0, 1.0), "image", 3)
    assert (card.eye_distance, card.eye_height, card.residual) == (0.25, 0.45, exported.name == "shipped")
    assert card_of(exported / "latest_younger.onnx").direction == "younger"


def test_photos_are_aligned_at_the_test_size(tmp_path: Path) -> None:
    make_run(tmp_path, "run", test_size=96)
    assert run_generators(RunFolder(tmp_path, "run"))["older"].card.size == 96
    words = ["--name", "run", "--checkpoints_dir", str(tmp_path), "--format", "safetensors"]
    for typed, size in (("--crop_size", 80), ("--test_size", 88)):
        export.main([*words, typed, str(size), "--output", str(tmp_path / "out")])
        assert card_of(tmp_path / "out" / "latest_net_G_A.safetensors").size == size


def test_the_eyes_are_where_alignment_puts_them() -> None:
    align = pytest.importorskip("faces.align")
    assert (Card.eye_distance, Card.eye_height) == (align.EYE_DISTANCE, align.EYE_HEIGHT)


@pytest.mark.parametrize("name", ["public", "shipped"])
def test_torchscript_files_compute_what_the_networks_do(name: str, checkpoints: Path, tmp_path: Path) -> None:
    words = ["--name", name, "--checkpoints_dir", str(checkpoints), "--output", str(tmp_path)]
    export.main([*words, "--format", "torchscript"])
    network = read_torchscript(tmp_path / "latest_older.torchscript")
    expected = run_generators(RunFolder(checkpoints, name))["older"].network
    for shape in ODD_SIZES:
        assert (network(images_of(shape)) - expected(images_of(shape))).abs().max() < 2e-5
    assert card_of(tmp_path / "latest_older.torchscript").direction == "older"


@pytest.mark.parametrize("kind", ["onnx", "torchscript", "safetensors"])
def test_half_the_bits_make_half_the_file(
    kind: str, checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--name", "public", "--checkpoints_dir", str(checkpoints), "--format", kind, "--half"]
    export.main([*words, "--output", str(tmp_path)])
    half = sum(file.stat().st_size for file in tmp_path.iterdir())
    whole = sum(file.stat().st_size for file in (checkpoints / "public").glob("latest_net_G_*.pth"))
    assert half < 0.75 * whole, "weights make most of a file, even of so small a network"
    assert all(card_of(file).weights_bits == 16 for file in tmp_path.iterdir())
    printed = capsys.readouterr().out
    assert printed.count("differs from the network by at most") == (0 if kind == "safetensors" else 2)


def test_safetensors_serve_in_place_of_the_checkpoint(checkpoints: Path, tmp_path: Path) -> None:
    run_folder = tmp_path / "compact"
    export.main(
        [
            "--name",
            "shipped",
            "--checkpoints_dir",
            str(checkpoints),
            *"--format safetensors --half".split(),
            "--output",
            str(run_folder),
        ]
    )
    (run_folder / "opt.json").touch()
    modes = {path.stat().st_mode for path in run_folder.iterdir()}
    assert len(modes) == 1, "who may read other files here may read these"
    (run_folder / "opt.json").write_text((checkpoints / "shipped" / "opt.json").read_text())
    first, second = (
        run_generators(RunFolder(folder, name))["younger"].network
        for folder, name in ((checkpoints, "shipped"), (tmp_path, "compact"))
    )
    difference = (first(images_of((1, 64, 64))) - second(images_of((1, 64, 64)))).abs().max()
    assert 0 < difference < 0.02, "rounded weights, and nothing else"


def test_networks_with_own_kernels_are_exported_as_plain_layers(checkpoints: Path, tmp_path: Path) -> None:
    trained = run_generators(RunFolder(checkpoints, "shipped"))["older"]
    expected = trained.network(images_of((1, 64, 64)))
    accelerate(trained.network, SpeedOptions(precision="bf16").resolve(torch.device("cpu"), training=False))
    fast = trained.network(images_of((1, 64, 64)))
    write_onnx(plain_copy(trained, half=False), tmp_path / "plain.onnx")
    made = read_onnx(tmp_path / "plain.onnx")(images_of((1, 64, 64)))
    assert (made - expected).abs().max() < 2e-5 < (fast - expected).abs().max()


def test_public_weights_without_saved_options(checkpoints: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "latest_net_G_A.pth").write_bytes((checkpoints / "public" / "latest_net_G_A.pth").read_bytes())
    words = ["--netG", "resnet_2blocks", "--ngf", "16", "--crop_size", "64", "--format", "torchscript"]
    printed = run("export.py", "--name", "bare", "--checkpoints_dir", tmp_path, *words)
    assert "latest_older.torchscript" in printed and "younger" not in printed


def test_a_run_without_generators_is_told(tmp_path: Path) -> None:
    printed = run("export.py", "--name", "nothing", "--checkpoints_dir", tmp_path, status=2)
    assert "contains no generator" in printed and "latest_net_G_A.pth" in printed and "Traceback" not in printed


def test_files_of_others_have_no_card() -> None:
    with pytest.raises(CardError, match=r"export\.py"):
        Card.from_metadata({}, "foreign.onnx")
    with pytest.raises(CardError, match="another version"):
        Card.from_metadata({"face_aging": '{"name": "x", "range": [-1, 1]}'}, "old.onnx")


def test_the_documented_example_needs_nothing_of_this_project(exported: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "export.md").read_text()
    code = next(block.split("```")[0] for block in text.split("```python\n")[1:])
    (tmp_path / "example.py").write_text(code)
    os.link(exported / "latest_older.onnx", tmp_path / "latest_older.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "face.png")
    checked = f"{code}\nimport sys\nassert 'torch' not in sys.modules\n"
    subprocess.run([sys.executable, "-c", checked], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ""})
    made = np.asarray(Image.open(tmp_path / "older.png"))
    assert made.shape == (64, 64, 3)
    small = np.asarray(Image.open(tmp_path / "face.png").resize((64, 64), Image.Resampling.LANCZOS))
    images = torch.from_numpy(small.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    expected = run_generators(RunFolder(exported.parent, exported.name))["older"].network(images)
    grey = (expected[0].permute(1, 2, 0) + 1) * 127.5
    assert np.abs(made - grey.numpy()).max() <= 0.51

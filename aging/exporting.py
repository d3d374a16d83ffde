"""Export generators to files for other programs: ONNX, TorchScript and safetensors. See docs/export.md."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from aging.card import Card
from aging.trained import Trained
from models.precision import Network
from util.errors import UserError
from util.files import atomic_path

Translate = Callable[[Tensor], Tensor]
INPUT, OUTPUT = "images", "aged"
"""Names of the input and output of an ONNX file."""
OPSET = 20
"""Version of the ONNX operator set."""
TOLERANCE = 1e-3
"""Largest accepted difference between a file and the network, in a range of 2: an eighth of a grey level."""


def plain_copy(trained: Trained, *, half: bool) -> Trained:
    """A copy of a generator that computes layer by layer in float32, without own kernels and memory layouts.

    half: round the convolutions' weights to 16 bits (float16), as they will be stored.
    """
    network = copy.deepcopy(trained.network).float().cpu().eval()
    for part in network.modules():
        if isinstance(part, Network):
            part.autocast_dtype, part.channels_last, part.fast_body, part.smooth_body = None, False, None, None
    for values in chain(network.parameters(), network.buffers()):
        rounded = values.data.half().float() if half and values.dim() == 4 else values.data
        values.data = rounded.contiguous(memory_format=torch.contiguous_format)
    return Trained(network, dataclasses.replace(trained.card, weights_bits=16 if half else 32))


class _Widened(nn.Module):
    """Converts a parameter that is stored in 16 bits to 32 bits."""

    def forward(self, stored: Tensor) -> Tensor:
        return stored.float()


def _with_stored_bits(trained: Trained) -> nn.Module:
    """The network to be written; if the card says 16 bits, a copy whose convolutions have 16-bit weights."""
    if trained.card.weights_bits == 32:
        return trained.network
    network = copy.deepcopy(trained.network)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.weight.data = layer.weight.data.half()
            parametrize.register_parametrization(layer, "weight", _Widened(), unsafe=True)
    return network


def write_onnx(trained: Trained, path: Path) -> None:
    """Write an ONNX file for any batch size, height and width. Raises UserError if the exporter is missing."""
    if missing := [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]:
        raise UserError(f"writing ONNX files requires more packages: pip install {' '.join(missing)}")
    multiple, dim = trained.card.size_multiple, torch.export.Dim
    sizes = {0: dim("batch"), 2: multiple * dim("rows"), 3: multiple * dim("columns")}
    with _quietly(), torch.no_grad():
        program = torch.onnx.export(
            _with_stored_bits(trained),
            (_example(trained.card),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={INPUT: sizes},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it is None only if a file name is given
    program.model.producer_name = "FaceAging-by-cycleGAN"
    program.model.metadata_props.update(trained.card.to_metadata())
    for node in program.model.graph:
        node.metadata_props.clear()  # they contain tracebacks with paths of this machine
    with atomic_path(path) as temporary:
        program.save(temporary, external_data=False)


def write_torchscript(trained: Trained, path: Path) -> None:
    """Write a TorchScript file for any batch size, height and width."""
    with _quietly(), torch.no_grad():
        traced = torch.jit.trace(_with_stored_bits(trained), (_example(trained.card),), check_trace=False)
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer, _extra_files=trained.card.to_metadata())
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def write_safetensors(trained: Trained, path: Path) -> None:
    """Write only the weights, under the names of the public code base. This project's commands load such a file if
    there is no `.pth` file."""
    from safetensors.torch import save

    half = trained.card.weights_bits == 16
    state = {
        name: (value.half() if half and value.dim() == 4 else value).contiguous()
        for name, value in trained.network.state_dict().items()
    }
    with atomic_path(path) as temporary:
        temporary.write_bytes(
            save(state, metadata=trained.card.to_metadata())
        )  # save_file makes the file unreadable for other users


def read_onnx(path: Path) -> Translate:
    """The network in an ONNX file as a function, run by onnxruntime on the CPU."""
    from aging.generators import onnx_generator  # imports onnxruntime, which other formats do not need

    translate = onnx_generator(path).translate
    return lambda images: torch.from_numpy(translate(images.numpy()))


def read_torchscript(path: Path) -> Translate:
    """The network in a TorchScript file as a function."""
    with _quietly():
        network = torch.jit.load(path, map_location="cpu")
    return lambda images: network(images)


@dataclasses.dataclass(frozen=True)
class Format:
    """A file format."""

    suffix: str
    write: Callable[[Trained, Path], None]
    read: Callable[[Path], Translate] | None
    """None if the file contains only weights"""


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", write_onnx, read_onnx),
    "torchscript": Format(".torchscript", write_torchscript, read_torchscript),
    "safetensors": Format(".safetensors", write_safetensors, None),
}


def largest_difference(trained: Trained, translate: Translate) -> float:
    """The largest difference between the outputs of a file and of the network, in a range of 2, for images that are
    small, wide and tall, of odd multiples, and for several images at a time.

    Raises UserError if it is larger than TOLERANCE.
    """
    most = max(_difference(trained, translate, shape) for shape in _test_shapes(trained.card))
    if not most <= TOLERANCE:
        raise UserError(
            f"the output of the exported file differs from the network's by {most:.3g}, in a range of 2; "
            "please report this with the command and the versions of torch and onnx"
        )
    return most


def _test_shapes(card: Card) -> list[tuple[int, int, int]]:
    """Numbers of images, heights and widths, in pixels."""
    unit = max(card.size_multiple, 16)
    return [(1, unit + card.size_multiple, 2 * unit), (3, 3 * unit, unit), (2, card.size, card.size)]


def _difference(trained: Trained, translate: Translate, shape: tuple[int, int, int]) -> float:
    number, height, width = shape
    generator = torch.Generator().manual_seed(height)
    images = torch.rand(number, trained.card.input_channels, height, width, generator=generator) * 2 - 1
    with torch.no_grad():
        return float((translate(images) - trained.network(images)).abs().max())


def _example(card: Card) -> Tensor:
    unit = max(card.size_multiple, 16)
    return torch.zeros(2, card.input_channels, 2 * unit, 3 * unit)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Suppress the exporters' messages on traced sizes, on the deprecation of TorchScript, and on their progress."""
    former = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(former)

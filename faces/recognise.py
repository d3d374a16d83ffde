"""Embed faces as vectors of 128 numbers, which are close for photos of the same person.

The network is dlib's face recogniser (Davis King, 2017): 29 convolutions, trained on about 3 million faces of 7,485
people, with an accuracy of 99.38 % on Labeled Faces in the Wild. Its weights are in the public domain (CC0) and are
part of the package face-recognition-models, in dlib's file format. Neither that package's code nor dlib is needed: this
module reads the file and builds the network from torch's layers, so it runs on a GPU, in batches, and with gradients.

    recogniser = load_recogniser()
    who = recogniser(part_of(images, CHIP_WINDOW))    # aligned images (N, 3, S, S) in [-1, 1] -> (N, 128)
    same = (who[0] - who[1]).norm() < 0.6              # the usual threshold; too high for thousands of faces
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from util.errors import UserError

PACKAGE = "face_recognition_models"
FILE = "models/dlib_face_recognition_resnet_model_v1.dat"
SIZE = 150
"""Width and height of the network's input in pixels; images of other sizes are resized."""
MEAN, SCALE = (122.782, 117.001, 104.298), 256.0
"""Normalisation of the network's training: MEAN is subtracted from RGB values of 0 to 255, which are divided by
SCALE."""
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, number of residual blocks, and whether the first block halves the image."""


class Recogniser(nn.Module):
    """The face recogniser. The names of its layers are this project's own; `read_weights` reads its weights."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 7, stride=2), Affine(32), nn.ReLU(), nn.MaxPool2d(3, 2))
        blocks, before = [], 32
        for channels, count, halves in LEVELS:
            for number in range(count):
                blocks.append(Block(before, channels, halves=halves and number == 0))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(256, 128, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Embed faces (N, 3, H, W), RGB in [-1, 1], framed like the part CHIP_WINDOW of an aligned image and like
        UTKFace's chips, which dlib cropped like its training images, as vectors (N, 128)."""
        if images.shape[-2:] != (SIZE, SIZE):
            images = F.interpolate(images, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        features = self.blocks(self.stem(((images + 1) * 127.5 - self.mean) / SCALE))
        return self.head(features.mean(dim=(2, 3)))


class Affine(nn.Module):
    """A factor and an offset per channel, equivalent to a batch normalisation after training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        return features * self.weight[:, None, None] + self.bias[:, None, None]


class Block(nn.Module):
    """A residual block of two convolutions. If it halves the image, the input is averaged before it is added."""

    def __init__(self, before: int, channels: int, *, halves: bool) -> None:
        super().__init__()
        first = nn.Conv2d(before, channels, 3, stride=2) if halves else nn.Conv2d(before, channels, 3, padding=1)
        second = nn.Conv2d(channels, channels, 3, padding=1)
        self.layers = nn.Sequential(first, Affine(channels), nn.ReLU(), second, Affine(channels))
        self.halves = halves

    def forward(self, features: Tensor) -> Tensor:
        past = F.avg_pool2d(features, 2) if self.halves else features
        return F.relu(add_padded(self.layers(features), past))


def add_padded(one: Tensor, other: Tensor) -> Tensor:
    """The sum of two feature maps (N, C, H, W), each padded with zeros at the end of channels, rows and columns to the
    larger size. This is how dlib adds maps of different sizes."""
    shape = [max(pair) for pair in zip(one.shape[1:], other.shape[1:], strict=True)]
    return _padded(one, shape) + _padded(other, shape)


def _padded(features: Tensor, shape: list[int]) -> Tensor:
    channels, height, width = (most - size for most, size in zip(shape, features.shape[1:], strict=True))
    return F.pad(features, (0, width, 0, height, 0, channels))


def weights_path() -> Path | None:
    """The file of the weights, or None if the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)  # does not import it: it needs pkg_resources, which was removed
    path = Path(found.submodule_search_locations[0]) / FILE if found and found.submodule_search_locations else None
    return path if path and path.is_file() else None


def load_recogniser(device: torch.device | str = "cpu") -> Recogniser:
    """The network with its weights, frozen. Raises UserError if the package is not installed or is damaged."""
    path = weights_path()
    if path is None:
        raise UserError(
            "recognising faces requires the weights in face-recognition-models: pip install face-recognition-models"
        )
    recogniser = Recogniser()
    try:
        fill(recogniser, read_weights(path.read_bytes()))
    except (ValueError, IndexError) as error:
        raise UserError(
            f"{path} is damaged ({error}): pip install --force-reinstall face-recognition-models"
        ) from error
    return recogniser.eval().requires_grad_(False).to(device)


def fill(recogniser: Recogniser, weights: Iterator[np.ndarray]) -> None:
    """Assign weights in dlib's order to the layers, from the image on. Raises ValueError if they belong to another
    network."""
    for layer in recogniser.modules():
        parameters = list(layer.parameters(recurse=False))
        if not parameters:
            continue
        values = torch.from_numpy(next(weights, np.empty(0, np.float32)).copy())
        sizes = [parameter.numel() for parameter in parameters]
        if len(values) != sum(sizes):
            raise ValueError(f"expected {sum(sizes)} weights, but got {len(values)}")
        for parameter, part in zip(parameters, values.split(sizes), strict=True):
            shape = parameter.shape
            # dlib's fully connected layer multiplies from the other side: its weights are (in, out).
            parameter.data = part.view(shape[1], shape[0]).T.contiguous() if len(shape) == 2 else part.view(shape)


NAME = re.compile(rb"\x01(\x05con_4|\x07affine_|\x04fc_2)")
"""Names of layers with weights in dlib's file, each preceded by its length."""
SIZES_OF_CONNECTION = 2
"""Number of integers between the name of a fully connected layer (fc) and its tensor."""


def read_weights(content: bytes) -> Iterator[np.ndarray]:
    """The weights of each layer that has some, as float32 (n,), in the order of dlib's file, which starts at the image.
    A tensor is stored as an integer (its version), four integers (its sizes), and the values. Raises ValueError if the
    file ends within a tensor."""
    at = 0
    while found := NAME.search(content, at):
        at = found.end()
        count = 1
        before = SIZES_OF_CONNECTION if found[1].endswith(b"fc_2") else 0
        for number in range(before + 5):
            value, at = read_integer(content, at)
            count *= value if number > before else 1
        yield np.frombuffer(content, "<f4", count, at)
        at += 4 * count


def read_integer(content: bytes, at: int) -> tuple[int, int]:
    """Read an integer in dlib's format (a byte with the number of bytes and the sign, then these bytes, lowest first);
    returns it and the position after it."""
    length = content[at] & 0x0F
    value = int.from_bytes(content[at + 1 : at + 1 + length], "little")
    return -value if content[at] & 0x80 else value, at + 1 + length

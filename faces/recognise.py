"""Who is on a face: a vector of 128 numbers, near to those of other photos of the same person.

The network is dlib's face recogniser (Davis King, 2017): 29 convolutions, trained on about 3 million faces of 7,485
people, with 99.38 % of right answers on Labeled Faces in the Wild. Its weights are in the public domain (CC0) and lie,
as a file that dlib wrote, in the package face-recognition-models. Neither that package's code nor dlib is needed: the
file is read here, and the network is built of torch's layers, so that it runs on a GPU, in batches, and with gradients.

    recogniser = load_recogniser()
    who = recogniser(window(images, RECOGNISED))      # aligned images (N, 3, S, S) in [-1, 1] -> (N, 128)
    same = (who[0] - who[1]).norm() < SAME_PERSON
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

from faces.align import CHIP_WINDOW
from util.errors import UserError

PACKAGE = "face_recognition_models"
FILE = "models/dlib_face_recognition_resnet_model_v1.dat"
SIZE = 150
"""Width and height, in pixels, of what the network sees; other sizes are resized to it."""
MEAN, SCALE = (122.782, 117.001, 104.298), 256.0
"""What the network was trained with: subtracted from RGB values of 0 to 255, which are then divided."""
RECOGNISED = CHIP_WINDOW
"""left, top, right, bottom: what the network was trained to see of an aligned image (faces.align), in units of its
side. UTKFace's chips, cut by dlib as the network's training faces were, go in whole."""
SAME_PERSON = 0.6
"""Usual threshold: the vectors of one person's photos are mostly nearer than this (Euclidean), those of two people
farther. Of 3,160 pairs of strangers among 80 aligned faces of IMDB-WIKI, 0.4 % are nearer, and none is nearer than 0.5;
among thousands of faces, where pairs are millions, it is too high a threshold."""
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, residual blocks, and whether the first of these halves the image."""


class Recogniser(nn.Module):
    """Faces as vectors. The layers' names are this project's own; weights come from `read_weights`."""

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
        """Faces (N, 3, H, W), RGB in [-1, 1], framed as RECOGNISED says, as vectors (N, 128)."""
        if images.shape[-2:] != (SIZE, SIZE):
            images = F.interpolate(images, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        features = self.blocks(self.stem(((images + 1) * 127.5 - self.mean) / SCALE))
        return self.head(features.mean(dim=(2, 3)))


class Affine(nn.Module):
    """A factor and a summand for each channel: what is left of a batch normalisation when training is over."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        return features * self.weight[:, None, None] + self.bias[:, None, None]


class Block(nn.Module):
    """Two convolutions, to which what came in is added, its halved image where the block halves it."""

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
    """The sum of two maps (N, C, H, W) after zeros were added to either, as last channels, rows and columns, up to the
    larger size: how dlib adds maps of different sizes."""
    shape = [max(pair) for pair in zip(one.shape[1:], other.shape[1:], strict=True)]
    return _padded(one, shape) + _padded(other, shape)


def _padded(features: Tensor, shape: list[int]) -> Tensor:
    channels, height, width = (most - size for most, size in zip(shape, features.shape[1:], strict=True))
    return F.pad(features, (0, width, 0, height, 0, channels))


def window(images: Tensor, part: tuple[float, float, float, float]) -> Tensor:
    """A part (left, top, right, bottom, in units of the side) of images (N, C, S, S), as (N, C, SIZE, SIZE)."""
    side = images.shape[-1]
    left, top, right, bottom = (round(edge * side) for edge in part)
    cut = images[..., top:bottom, left:right]
    return F.interpolate(cut, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)


def weights_path() -> Path | None:
    """The file of the weights; None where the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)  # which does not import it: it needs pkg_resources, which is gone
    path = Path(found.submodule_search_locations[0]) / FILE if found and found.submodule_search_locations else None
    return path if path and path.is_file() else None


def load_recogniser(device: torch.device | str = "cpu") -> Recogniser:
    """The network with its weights, frozen. Raises UserError where the package is not installed, or damaged."""
    path = weights_path()
    if path is None:
        raise UserError(
            "recognising faces needs the weights in face-recognition-models: pip install face-recognition-models"
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
    """Give each layer, from the image on, its weights, which are in dlib's order. Raises ValueError where they are of
    another network."""
    for layer in recogniser.modules():
        parameters = list(layer.parameters(recurse=False))
        if not parameters:
            continue
        values = torch.from_numpy(next(weights, np.empty(0, np.float32)).copy())
        sizes = [parameter.numel() for parameter in parameters]
        if len(values) != sum(sizes):
            raise ValueError(f"{len(values)} weights in place of {sum(sizes)}")
        for parameter, part in zip(parameters, values.split(sizes), strict=True):
            shape = parameter.shape
            # dlib's full connection multiplies from the other side: its weights are (in, out).
            parameter.data = part.view(shape[1], shape[0]).T.contiguous() if len(shape) == 2 else part.view(shape)


NAME = re.compile(rb"\x01(\x05con_4|\x07affine_|\x04fc_2)")
"""How layers with weights are named in dlib's file: before the name stands its length."""
SIZES_OF_CONNECTION = 2
"""Integers that stand between the name of a full connection (fc) and its tensor."""


def read_weights(content: bytes) -> Iterator[np.ndarray]:
    """The weights of each layer that has some, as float32 (n,), in the order of a file that dlib wrote: from the image
    on. A tensor is an integer (its version), four more (its sizes), and the values. Raises ValueError where the file
    ends within one."""
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
    """An integer as dlib writes it (a byte with the number of bytes and the sign, then these bytes, lowest first), and
    where the next one begins."""
    length = content[at] & 0x0F
    value = int.from_bytes(content[at + 1 : at + 1 + length], "little")
    return -value if content[at] & 0x80 else value, at + 1 + length

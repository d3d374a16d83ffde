"""Age estimator: a network that estimates the age and gender of a face.

Ages are estimated as in DEX (Rothe, Timofte and Van Gool 2015, "DEX: Deep EXpectation of apparent age from a single
image", ICCV workshops): the expected value over a softmax with one class for each year from 0 to 100. The trunk is one
of models/age_trunks.py and is trained from scratch, or from weights of ImageNet (models/lite_trunk.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.age_trunks import TRUNKS
from util.files import atomic_path, sha256_of
from util.run.checkpoint import SAFETENSORS, CheckpointError, load_file, save_file
from util.state_dicts import adapt_state_dict
from util.weights import load_weights, save_weights

YEARS = 101
"""Number of classes: 0 to 100 years."""
SIZES = range(32, 513)
KIND = "age estimator"
DEFAULT_PATH = Path("checkpoints/age_estimator/instrument.safetensors")
"""The estimator for evaluation, which is part of the project."""


class Estimates(NamedTuple):
    """Estimates for N faces, float32: ages (N,) in years; male (N,), the probability of being male; features (N, D),
    the input of the linear layers for both."""

    ages: Tensor
    male: Tensor
    features: Tensor


class Logits(NamedTuple):
    """Raw outputs for N faces: years (N, 101), male (N,), and the features (N, D) that they are computed from."""

    years: Tensor
    male: Tensor
    features: Tensor


@dataclass(frozen=True)
class EstimatorShape:
    """Architecture of an estimator.

    trunk: a key of TRUNKS. size: width and height of the trunk's input in pixels. seen: fraction of a crop's width and
    height, in the centre, that the trunk sees. dropout: fraction of features dropped in training.
    """

    trunk: str = "resnet18"
    size: int = 128
    seen: float = 1.0
    dropout: float = 0.0


class AgeEstimator(nn.Module):
    """Estimates age and gender from face crops with a margin, as made by scripts/prepare_dataset.py.

    notes: information on its training (data, held-out people, errors). sha256: hash of the file that it was loaded
    from; empty if it was not loaded.
    """

    def __init__(self, shape: EstimatorShape, notes: Mapping[str, Any] | None = None, sha256: str = "") -> None:
        super().__init__()
        self.shape, self.notes, self.sha256 = shape, dict(notes or {}), sha256
        self.trunk = TRUNKS[shape.trunk]()
        self.trunk.fc = nn.Identity()
        self.years = nn.Linear(self.trunk.width, YEARS)
        self.male = nn.Linear(self.trunk.width, 1)

    def logits(self, images: Tensor) -> Logits:
        """Compute logits for images (N, 3, H, W) in [-1, 1], after resizing their centre to the trunk's input size.
        Differentiable."""
        height, width = (max(1, round(length * self.shape.seen)) for length in images.shape[-2:])
        top, left = (images.shape[-2] - height) // 2, (images.shape[-1] - width) // 2
        images = images[..., top : top + height, left : left + width]
        size = (self.shape.size, self.shape.size)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        return self.logits_of_seen(images)

    @property
    def feature_channels(self) -> tuple[int, int, int, int]:
        """Numbers of channels of the maps that `features` can return."""
        return self.trunk.feature_channels

    def features(self, images: Tensor, levels: int = 4) -> list[Tensor]:
        """Compute the first `levels` of the trunk's feature maps, at strides of 2, 4, 8 and 16 pixels. The images (N,
        3, H, W) in [-1, 1] are neither cropped nor resized. Differentiable."""
        return self.trunk.features(images, levels)

    def logits_of_seen(self, images: Tensor) -> Logits:
        """Compute logits for cropped and resized images (N, 3, H, W), which may be smaller in training."""
        features = self.trunk(images)
        kept = F.dropout(features, self.shape.dropout, self.training)
        return Logits(self.years(kept), self.male(kept).squeeze(1), features)

    def forward(self, images: Tensor) -> Estimates:
        """Estimate age and gender for images (N, 3, H, W) in [-1, 1] of any size, as the mean of the estimates for each
        image and its mirror image. Differentiable."""
        logits = self.logits(torch.cat([images, images.flip(3)]))
        both = expected_age(logits.years), torch.sigmoid(logits.male.float()), logits.features.float()
        return Estimates(*(values.unflatten(0, (2, -1)).mean(dim=0) for values in both))


def expected_age(years: Tensor) -> Tensor:
    """Compute the expected age of DEX: from logits (N, 101) to years (N,), float32."""
    classes = torch.arange(YEARS, dtype=torch.float32, device=years.device)
    return torch.softmax(years.float(), dim=1) @ classes


def save_estimator(estimator: AgeEstimator, path: Path) -> None:
    """Write the estimator with its notes atomically. Weights are float16 if the path ends in .safetensors. Raises
    OSError."""
    content: dict[str, Any] = {"kind": KIND, "shape": asdict(estimator.shape), "notes": estimator.notes}
    weights = {name: value.cpu() for name, value in estimator.state_dict().items()}
    with atomic_path(path) as temporary:
        if path.suffix == SAFETENSORS:
            save_weights(weights, content, temporary)
        else:
            save_file(content | {"state_dict": weights}, temporary)


def load_estimator(path: Path, device: torch.device) -> AgeEstimator:
    """Load an estimator in evaluation mode with frozen weights. Raises CheckpointError."""
    content = _read_safetensors(path) if path.suffix == SAFETENSORS else load_file(path)
    if not isinstance(content, Mapping) or content.get("kind") != KIND:
        raise CheckpointError(f"{path} is not an age estimator: train one with scripts/train_age_estimator.py")
    shape, notes = _read_shape(content.get("shape"), path), content.get("notes")
    with torch.device("meta"):  # no initialisation, which would take time and change the random state of a run
        estimator = AgeEstimator(shape, notes if isinstance(notes, Mapping) else {}, sha256_of(path))
    estimator.to_empty(device="cpu")
    estimator.load_state_dict(adapt_state_dict(content.get("state_dict"), estimator, path))
    return estimator.to(device).eval().requires_grad_(False)


def _read_safetensors(path: Path) -> dict[str, Any]:
    weights, content = load_weights(path)
    return content | {"state_dict": weights}


def _read_shape(values: Any, path: Path) -> EstimatorShape:
    """Check and convert a saved shape. Raises CheckpointError if it is invalid."""
    try:
        shape = EstimatorShape(**values)
    except TypeError as error:
        raise CheckpointError(f"{path} is damaged: it lacks a valid description of the network") from error
    known = shape.trunk in TRUNKS and type(shape.size) is int and shape.size in SIZES
    shares = isinstance(shape.dropout, float) and isinstance(shape.seen, float)
    if not known or not shares or not 0 <= shape.dropout < 1 or not 0.1 <= shape.seen <= 1:
        raise CheckpointError(f"{path} is an estimator of an unknown architecture: {shape}")
    return shape

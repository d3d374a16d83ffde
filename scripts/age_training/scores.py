"""Errors of estimated ages and genders on held-out people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from faces.align import CHIP_WINDOW
from models.age_estimator import AgeEstimator
from scripts.age_training.faces import Faces
from scripts.age_training.framing import CROP
from util.images import part_of, uint8_to_tensor


@torch.inference_mode()
def estimate(
    estimator: AgeEstimator, pixels: Tensor, device: torch.device, batch_size: int = 64
) -> dict[str, np.ndarray]:
    """Estimate "ages" (N,) in years and "male" (N,), a probability, for uint8 images (N, 3, S, S)."""
    parts = [estimator(uint8_to_tensor(part.to(device))) for part in pixels.split(batch_size)]
    return {
        "ages": torch.cat([part.ages for part in parts]).cpu().numpy(),
        "male": torch.cat([part.male for part in parts]).cpu().numpy(),
    }


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """The area under the ROC curve: the probability that a positive has a higher score than a negative, where ties
    count half. NaN if there is only one class."""
    if positive.all() or not positive.any():
        return float("nan")
    pairs = int(positive.sum()) * int((~positive).sum())
    return float(mannwhitneyu(scores[positive], scores[~positive], method="asymptotic").statistic / pairs)


def score(faces: Faces, estimates: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Errors on N faces: mean absolute error and bias in years, young/old AUC (also of women and of men, if there are
    young and old ones), and gender accuracy."""
    error = estimates["ages"] - faces.ages
    known = faces.male >= 0
    right = (estimates["male"][known] > 0.5) == (faces.male[known] == 1)
    groups = {"": np.ones(len(faces), dtype=bool), "_women": faces.male == 0, "_men": faces.male == 1}
    curves = {name: area_under_curve(estimates["ages"][group], faces.old[group]) for name, group in groups.items()}
    return {
        "faces": len(faces),
        "people": len(np.unique(faces.people)),
        "mean_absolute_error": float(np.abs(error).mean()),
        "bias": float(error.mean()),
        **{f"young_old_auc{name}": area for name, area in curves.items() if not (name and np.isnan(area))},
        "gender_accuracy": float(right.mean()) if len(right) else float("nan"),
    }


def score_framings(
    phase: str, names: Sequence[str], faces: Faces, pixels: Tensor, estimator: AgeEstimator, device: torch.device
) -> dict[str, dict[str, float]]:
    """The `score` of each data set's faces by a title, both as they are and, for frames, cropped to chips.

    names: names of the data sets. pixels: uint8 (N, 3, S, S), with chips placed into frames.
    """
    made = {}
    for number, name in enumerate(names):
        chosen = faces.sets == number
        own, images = faces[chosen], pixels[torch.from_numpy(chosen)]
        title = phase if len(names) == 1 else f"{phase}, {name}"
        if len(own):
            made[title] = score(own, estimate(estimator, images, device))
        if len(own) and own.framings[0] != CROP:
            made[f"{title}, chips"] = score(own, estimate(estimator, part_of(images, CHIP_WINDOW), device))
    return made


def describe(scores: Mapping[str, float]) -> str:
    """The scores as one line of text."""
    curves = {name: scores.get(f"young_old_auc_{name}") for name in ("women", "men")}
    groups = ", ".join(f"{name} {area:.4f}" for name, area in curves.items() if area is not None)
    return (
        f"mean absolute error {scores['mean_absolute_error']:.2f} years (bias {scores['bias']:+.2f}), young/old AUC "
        f"{scores['young_old_auc']:.4f}{f' ({groups})' * bool(groups)}, gender accuracy "
        f"{scores['gender_accuracy']:.4f} on {scores['faces']:.0f} faces"
    )

"""Measures translations of held-out faces during training, and keeps track of the best networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.held_out import load_held_out
from data.manifest import is_aligned
from data.unaligned_dataset import UnalignedOptions
from evaluation.instruments import Instruments, load_instruments
from evaluation.measuring import Columns, Measured, columns_of, joined, look_at
from evaluation.metrics.identity import verification
from evaluation.sources import rounded
from models.age_estimator import DEFAULT_PATH
from models.age_loss import AIM
from models.base_model import BaseModel
from models.face_embedder import FaceModelOptions
from util.arguments import OptionError, option, section
from util.distributed import on_main
from util.run.run_folder import BEST

FAKE_OF = {"A": "fake_B", "B": "fake_A"}
SHOWN = {"gain": "years", "gender_kept": "gender", "cosine": "cosine", "verified": "verified"}
"""Columns of evaluate.py, and the names of their means in this module."""

Say = Callable[[str], None]
Show = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class HeldOutOptions:
    """evaluation during training"""

    eval_freq: int = option(
        0,
        help="interval at which translations of held-out faces are evaluated, and the best networks so far kept as "
        "best_net_*; 0: never",
        unit="epochs",
        least=0,
    )
    eval_faces: int = option(64, help="number of held-out faces of each domain", least=1, most=100_000)
    eval_phase: str = option("test", help="folders of the held-out faces: EVAL_PHASE followed by A and by B")
    age_estimator: Path = option(
        DEFAULT_PATH, help="age estimator for the evaluation: a file that scripts/train_age_estimator.py wrote"
    )
    face: FaceModelOptions = section(FaceModelOptions)

    def __post_init__(self) -> None:
        if "/" in self.eval_phase or "\\" in self.eval_phase or not self.eval_phase.isprintable():
            raise OptionError(
                f"--eval_phase {self.eval_phase!r}: must be the beginning of a folder name, without slashes"
            )

    def due(self, epoch: int) -> bool:
        """Whether to measure after this epoch."""
        return self.eval_freq > 0 and epoch % self.eval_freq == 0


@dataclass
class Best:
    """Score and epoch of the best networks so far.

    of: identifies what they were measured with. Scores measured with anything else are not comparable and are ignored.
    """

    of: str
    score: float = float("-inf")
    epoch: int = 0

    def improved(self, score: float, epoch: int) -> bool:
        """Whether a score is the best so far; if so, store it."""
        if not score > self.score:
            return False
        self.score, self.epoch = score, epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"of": self.of, "score": self.score, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state, unless it was measured with something else."""
        if self.of in ("", state["of"]):
            self.of, self.score, self.epoch = str(state["of"]), float(state["score"]), int(state["epoch"])


class HeldOut:
    """Measures a model on fixed photos, with the functions of evaluate.py.

    photos: float tensors (N, 3, S, S) in [-1, 1] by domain, on the CPU. young: the domain of young faces, "A" unless
    the domains are exchanged. Names of values end with the domain of the source photos, as those of losses.
    """

    def __init__(
        self,
        photos: Mapping[str, Tensor],
        instruments: Instruments,
        device: torch.device,
        young: str = "A",
        batch_size: int = 4,
    ) -> None:
        self.photos, self.instruments, self.device, self.batch_size = photos, instruments, device, batch_size
        self.before = {
            domain: Measured("AtoB" if domain == young else "BtoA", real=self._look(images.split(batch_size)))
            for domain, images in photos.items()
        }
        self.threshold = self._threshold()

    @property
    def name(self) -> str:
        """Identifies the photos, the estimator and the recogniser that are used to measure."""
        counts = "+".join(str(len(images)) for images in self.photos.values())
        return ", ".join([f"{counts} faces", *(file.sha256 for file in self.instruments.weights)])

    def measure(self, model: BaseModel) -> dict[str, float]:
        """Scores by name.

        years: mean number of years by which translations of young faces look older, and those of old faces younger, by
        the estimator. gender: share of faces whose estimated gender is unchanged. cosine and verified (with a
        recogniser): see evaluation.metrics.identity. score: mean over all faces of their years, at most 30; it is 0 for
        faces whose gender or (with a recogniser) identity is not kept, but years in the wrong direction always count.
        apart_D_A and apart_D_B: share of the real photos that each discriminator classifies correctly by age.
        """
        values: dict[str, float] = {}
        scores: list[np.ndarray] = []
        with model.for_inference():
            for domain, before in self.before.items():
                after = self._look(self._translations(model, domain))
                columns = columns_of(before, after, {}, list(self.instruments.estimators), self.threshold)
                shown = {SHOWN[name]: column for name, column in columns.items() if name in SHOWN}
                values |= {f"{name}_{domain}": float(column.mean()) for name, column in shown.items()}
                kept = shown["gender"] * shown.get("verified", 1.0)
                scores.append(np.where(shown["years"] < 0, shown["years"], np.minimum(shown["years"], AIM) * kept))
            values |= {f"apart_{name}": share for name, share in self._told_apart(model).items()}
        values["score"] = float(np.mean(np.concatenate(scores)))
        return values

    def _told_apart(self, model: BaseModel) -> dict[str, float]:
        """Return the accuracy of each discriminator on equally many real photos of both domains: 0.5 is chance."""
        parts = zip(*(images.split(self.batch_size) for images in self._equally_many().values()), strict=True)
        shares = [(len(first), model.told_apart({"A": first, "B": second})) for first, second in parts]
        total = sum(count for count, _ in shares)
        return {name: sum(count * share[name] for count, share in shares) / total for name in shares[0][1]}

    def _equally_many(self) -> dict[str, Tensor]:
        count = min(map(len, self.photos.values()))
        return {domain: self.photos[domain][:count] for domain in ("A", "B")}

    def _translations(self, model: BaseModel, domain: str) -> Iterator[Tensor]:
        for part in self.photos[domain].split(self.batch_size):
            yield model.translate({domain: part})[FAKE_OF[domain]]

    def _look(self, parts: Iterable[Tensor]) -> Columns:
        """Measure images as they would be stored, like evaluate.py."""
        return joined([look_at(rounded(part.to(self.device)), self.instruments) for part in parts])

    def _threshold(self) -> float:
        """The verification threshold of the cosine. Each photo counts as a different person."""
        embeddings = [own.real["embedding"] for own in self.before.values() if "embedding" in own.real]
        if not embeddings:
            return float("nan")
        together = np.concatenate(embeddings)
        return verification(together, np.arange(len(together))).threshold


@dataclass
class Evaluation:
    """Evaluates a model during its training. held_out: None if --eval_freq is 0, and on all processes but the main."""

    options: HeldOutOptions
    held_out: HeldOut | None
    best: Best

    def after_epoch(self, model: BaseModel, epoch: int, show: Show) -> list[str]:
        """Measure and show the scores if it is due after this epoch. Returns the label `best` if these networks are the
        best so far. Every process must call it."""
        if not self.options.due(epoch):
            return []
        values = on_main(lambda: self.held_out.measure(model) if self.held_out else None)
        if values is None:
            return []
        show(values)
        return [BEST] if self.best.improved(values["score"], epoch) else []


def open_evaluation(
    options: HeldOutOptions, data: UnalignedOptions, channels: dict[str, int], device: torch.device, say: Say
) -> Evaluation:
    """Load the photos and instruments that measure translations during training.

    Raises CheckpointError, DataError, OptionError.
    """
    held_out = on_main(lambda: _open_held_out(options, data, channels, device, say))
    return Evaluation(options, held_out, Best(held_out.name if held_out else ""))


def _open_held_out(
    options: HeldOutOptions, data: UnalignedOptions, channels: dict[str, int], device: torch.device, say: Say
) -> HeldOut | None:
    if options.eval_freq == 0:
        return None
    if channels != {"A": 3, "B": 3}:
        raise OptionError("--eval_freq requires colour images (--input_nc 3 --output_nc 3), because the estimator does")
    photos = load_held_out(data, options.eval_phase, channels, options.eval_faces, say)
    aligned = is_aligned(data.dataroot)
    instruments = load_instruments([options.age_estimator], options.face, None, {}, device, aligned)
    return HeldOut(photos, instruments, device, young="A" if data.direction == "AtoB" else "B")

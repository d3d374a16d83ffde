"""What a training's translations of held-out faces score, and which networks were the best so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluation.metrics.identity import cosines, verification
from models.age_estimator import DEFAULT_PATH, AgeEstimator, load_estimator
from models.age_loss import AIM
from models.base_model import BaseModel
from models.face_embedder import FaceEmbedder, FaceModelOptions, load_embedder
from util.arguments import OptionError, option, section

FAKE_OF = {"A": "fake_B", "B": "fake_A"}


@dataclass(frozen=True)
class HeldOutOptions:
    """measuring while training"""

    eval_freq: int = option(0, help="how often translations of held-out faces are measured, and the best networks so "
                                    "far kept as best_net_*; 0: never", unit="epochs")  # fmt: skip
    eval_faces: int = option(64, help="held-out faces of each domain", unit="photos", most=100_000)
    eval_phase: str = option("test", help="their folders: EVAL_PHASE followed by A and by B")
    age_estimator: Path = option(DEFAULT_PATH,
                                 help="what tells ages and sexes: a file of train_age_estimator.py")  # fmt: skip
    face: FaceModelOptions = section(FaceModelOptions)

    def __post_init__(self) -> None:
        if self.eval_freq < 0:
            raise OptionError(f"--eval_freq {self.eval_freq}: at least 0")
        if self.eval_faces < 1:
            raise OptionError(f"--eval_faces {self.eval_faces}: at least 1")
        if "/" in self.eval_phase or "\\" in self.eval_phase or not self.eval_phase.isprintable():
            raise OptionError(f"--eval_phase {self.eval_phase!r}: must be the beginning of a folder's name")

    def due(self, epoch: int) -> bool:
        """Whether there is something to measure after an epoch."""
        return self.eval_freq > 0 and epoch % self.eval_freq == 0


@dataclass(frozen=True)
class Look:
    """What is said of N faces: ages in years, whether of men, embeddings (N, D) or None; each (N,)."""

    ages: np.ndarray
    male: np.ndarray
    embeddings: np.ndarray | None


@dataclass
class Best:
    """The best networks of a run so far. of: what they were measured by; what was measured by something else does not
    count."""

    of: str
    score: float = float("-inf")
    epoch: int = 0

    def improved(self, score: float, epoch: int) -> bool:
        """Whether a score is the best; if so, it is the one to beat from now on."""
        if not score > self.score:
            return False
        self.score, self.epoch = score, epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return {"of": self.of, "score": self.score, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state_dict`; nothing where there is nothing to measure by, or something else."""
        if self.of in ("", state["of"]):
            self.of, self.score, self.epoch = str(state["of"]), float(state["score"]), int(state["epoch"])


class HeldOut:
    """Measures a model on fixed photos.

    photos: float tensors (N, 3, S, S) in [-1, 1] by domain, on the CPU. young: the domain of young faces, "A" unless
    the domains are exchanged. In the names of values, A is what is made of A's photos, as in those of losses.
    """

    def __init__(
        self,
        photos: Mapping[str, Tensor],
        estimator: AgeEstimator,
        embedder: FaceEmbedder | None,
        device: torch.device,
        young: str = "A",
        batch_size: int = 4,
    ) -> None:
        self.young = young
        self.photos, self.estimator, self.embedder, self.device = photos, estimator, embedder, device
        self.batch_size = batch_size
        self._before = {domain: self._look(list(images.split(batch_size))) for domain, images in photos.items()}
        self.threshold = self._threshold()

    @classmethod
    def load(
        cls, options: HeldOutOptions, photos: Mapping[str, Tensor], device: torch.device, young: str, aligned: bool
    ) -> HeldOut:
        """With the estimator and the recogniser that the options name. aligned: whether the photos were prepared with
        --align. Raises CheckpointError, OptionError."""
        estimator = load_estimator(options.age_estimator, device)
        embedder = load_embedder(options.face, device, aligned)
        return cls(photos, estimator, embedder, device, young)

    @property
    def name(self) -> str:
        """What it measures by: other photos, another estimator or recogniser, another name."""
        counts = "+".join(str(len(images)) for images in self.photos.values())
        return ", ".join([f"{counts} faces", self.estimator.sha256, *([self.embedder.sha256] if self.embedder else [])])

    def measure(self, model: BaseModel) -> dict[str, float]:
        """Scores by name.

        years: by how much translations of the young look older, and those of the old younger, the mean, as the
        estimator sees it; sex: the share whose sex it sees unchanged; cosine and verified, with a recogniser: see
        evaluation.metrics.identity. score: the mean over both directions of each face's years, at most 30 of them,
        where sex and person (with a recogniser) are kept, else of 0; years in the wrong direction always count.
        """
        values: dict[str, float] = {}
        scores: list[np.ndarray] = []
        with model.for_inference():
            for domain in self.photos:
                after = self._look(self._translate(model, domain))
                values |= self._compare(domain, after, scores)
        values["score"] = float(np.mean(np.concatenate(scores)))
        return values

    def _translate(self, model: BaseModel, domain: str) -> list[Tensor]:
        parts = self.photos[domain].split(self.batch_size)
        return [model.translate({domain: part})[FAKE_OF[domain]].float().clamp(-1, 1) for part in parts]

    @torch.no_grad()
    def _look(self, parts: list[Tensor]) -> Look:
        estimates = [self.estimator(part.to(self.device)) for part in parts]
        embeddings = np.concatenate([self.embedder(part) for part in parts]) if self.embedder else None
        return Look(torch.cat([part.ages for part in estimates]).cpu().numpy(),
                    torch.cat([part.male for part in estimates]).cpu().numpy() > 0.5, embeddings)  # fmt: skip

    def _threshold(self) -> float:
        """The cosine from which two photos count as of one person; each of the photos is of a person of its own."""
        embeddings = [look.embeddings for look in self._before.values() if look.embeddings is not None]
        if not embeddings:
            return float("nan")
        joined = np.concatenate(embeddings)
        return verification(joined, np.arange(len(joined))).threshold

    def _compare(self, domain: str, after: Look, scores: list[np.ndarray]) -> dict[str, float]:
        """The values of one domain; what each of its faces scores is added to `scores`."""
        before = self._before[domain]
        years = (after.ages - before.ages) * (1 if domain == self.young else -1)
        kept = after.male == before.male
        values = {f"years_{domain}": float(years.mean()), f"sex_{domain}": float(kept.mean())}
        if before.embeddings is not None and after.embeddings is not None:
            similar = cosines(before.embeddings, after.embeddings)
            verified = similar >= self.threshold
            values |= {f"cosine_{domain}": float(similar.mean()), f"verified_{domain}": float(verified.mean())}
            kept &= verified
        scores.append(np.where(years < 0, years, np.minimum(years, AIM) * kept))
        return values

"""Losses and weights that are no longer finite: noticed without waiting for the device at each step, and what then."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from models.base_model import BaseModel, Step
from util.arguments import option
from util.distributed import first_of_all, place
from util.errors import UserError
from util.run.progress import Progress

STEPS_BETWEEN_LOOKS = 200
"""At most: so many steps' files and losses are remembered."""
MOST_SKIPPED_STEPS = 100
"""in a row; after these, it is not the photos"""

REMEDY = "Try a lower --lr, or leave out the photos named"


class DivergedError(UserError):
    """Losses or weights that are not finite; the message names the step, its photos and the last good checkpoint."""


@dataclass(frozen=True)
class GuardOptions:
    """losses that are not finite"""

    on_nan: str = option(
        "stop",
        help="what happens where a loss or a weight is NaN or infinite: stop, so that --continue_train can go on from "
        "the last checkpoint; skip: leave the weights as they are in that step (this looks at every step)",
        choices=("stop", "skip"),
        parse=lambda text: "stop" if text == "rollback" else text,  # what older runs may have saved
    )


class Recent(NamedTuple):
    """One step: where, on which files, with which losses (on the device)."""

    position: str
    paths: list[Path]
    names: tuple[str, ...]
    losses: Tensor


class Guard:
    """Does the steps of a model, and sees to it that nothing which is not finite lasts.

    Losses are looked at every `every` images, when they are reported anyhow, and before anything is saved: the device
    is not waited for at other steps, unless they are to be skipped one by one. latest: names the last checkpoint, empty
    where there is none.
    """

    def __init__(
        self,
        options: GuardOptions,
        model: BaseModel,
        progress: Progress,
        *,
        every: int,
        latest: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        self.mode, self.model, self.progress, self.every = options.on_nan, model, progress, every
        self.latest, self.say = latest, say
        if self.mode == "skip":
            for optimization in model.optimizations.values():
                optimization.skip_not_finite()
        self.recent: list[Recent] = []
        self.skipped = self.skipped_in_a_row = 0

    def optimize(self, batch: Mapping[str, Any]) -> Step:
        """One step of the model, to the position where `progress` stands; without losses and images where it was
        skipped. Raises DivergedError."""
        losses_before = dict(self.model.losses)
        step = self.model.optimize(batch)
        images = len(batch["A"]) * place().processes
        position = f"epoch {self.progress.epoch}, image {self.progress.epoch_images}"
        paths = [Path(path) for domain in ("A", "B") for path in batch.get(f"{domain}_paths", ())]
        losses = torch.stack([loss.detach().float() for loss in step.losses.values()])
        self.recent.append(Recent(position, paths, tuple(step.losses), losses))
        is_due = self.progress.due(self.every, images) or len(self.recent) >= STEPS_BETWEEN_LOOKS
        if (self.mode == "skip" or is_due) and not self.check():
            self.model.losses = losses_before
            return Step({}, {})
        return step

    def check(self) -> bool:
        """Look at the losses since the last look, and at the weights; False where a step was skipped.

        Raises DivergedError where something is not finite, unless such steps are skipped.
        """
        recent, self.recent = self.recent, []
        if not recent:
            return True
        complaint = first_of_all(self._complaint(recent))
        if not complaint:
            self.skipped_in_a_row = 0
        elif self.mode == "skip":
            self._skip(complaint)
        else:
            raise DivergedError(f"{complaint}. {self._way_back()}, or --on_nan skip")
        return not complaint

    @torch.no_grad()
    def _complaint(self, recent: list[Recent]) -> str:
        """What is not finite, since which step, and on which files; empty where all is."""
        weights = [
            value
            for network in self.model.networks.values()
            for value in network.state_dict().values()
            if value.is_floating_point()
        ]
        largest_weight = get_total_norm(weights, norm_type=math.inf).reshape(1)
        # The one place where the host waits for the device.
        values = torch.cat([step.losses for step in recent] + [largest_weight.float()]).tolist()
        place = 0
        for step in recent:
            losses = dict(zip(step.names, values[place : place + len(step.names)], strict=True))
            place += len(step.names)
            bad = [f"{name} {loss}" for name, loss in losses.items() if not math.isfinite(loss)]
            if bad:
                return f"not finite at {step.position}: {', '.join(bad)}, on {_few(step.paths)}"
        if not math.isfinite(values[-1]):
            return f"weights are not finite after {recent[-1].position}, on {_few(recent[-1].paths)}"
        return ""

    def _skip(self, complaint: str) -> None:
        self.skipped += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row > MOST_SKIPPED_STEPS:
            raise DivergedError(
                f"{complaint}. So were the {MOST_SKIPPED_STEPS} steps before, all skipped. {self._way_back()}"
            )
        self.say(f"{complaint}: this step is skipped ({self.skipped} in all)")

    def _way_back(self) -> str:
        latest = self.latest()
        if not latest:
            return f"There is no checkpoint yet. {REMEDY}"
        return f"The last good checkpoint is {latest}: --continue_train goes on from it. {REMEDY}"

    def state_dict(self) -> dict[str, int]:
        """How many steps were skipped."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """The reverse of `state_dict`."""
        self.skipped = state["skipped"]


def _few(paths: list[Path]) -> str:
    return ", ".join(map(str, paths[:16])) + (f" and {len(paths) - 16} more" if len(paths) > 16 else "")

"""Detects NaN and infinite losses and weights without synchronising with the device in each step, and handles them."""

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
from util.text import first_few

STEPS_BETWEEN_LOOKS = 200
"""Maximum number of steps between checks, whose files and losses are kept until then."""
MOST_SKIPPED_STEPS = 100
"""Maximum number of consecutive skipped steps; after these, the photos cannot be the cause."""

NAMED = 16
"""Photos that a message names."""

REMEDY = "Try a lower --lr, or remove the photos named above"


class DivergedError(UserError):
    """Raised for NaN or infinite losses or weights; the message names the step, its photos and the last checkpoint."""


@dataclass(frozen=True)
class GuardOptions:
    """handling of NaN losses"""

    on_nan: str = option(
        "stop",
        help="what to do if a loss or weight is NaN or infinite; stop: end the training, which can be resumed from "
        "the last checkpoint with --continue_train; skip: do not update the weights in that step (checks every step)",
        choices=("stop", "skip"),
        parse=lambda text: "stop" if text == "rollback" else text,  # a former choice that older runs may have saved
    )


class Recent(NamedTuple):
    """A recent step: its position, files and losses (on the device)."""

    position: str
    paths: list[Path]
    names: tuple[str, ...]
    losses: Tensor


class Guard:
    """Does the training steps of a model, and stops or skips steps whose losses or weights are not finite.

    Losses are checked every `every` images, when they are reported anyway, and before each save. Other steps do not
    synchronise with the device, except with --on_nan skip, which checks every step. latest: describes the last
    checkpoint; empty if there is none.
    """

    def __init__(
        self,
        options: GuardOptions,
        model: BaseModel,
        progress: Progress,
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
        """Do one step of the model, which ends at the position `progress`. The result has no losses and images if the
        step was skipped. Raises DivergedError."""
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
        """Check the losses since the last check, and the weights. Returns False if a step was skipped.

        Raises DivergedError if something is not finite and --on_nan is stop.
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
        """Describe what is not finite, in which step, and with which files; empty if everything is finite."""
        weights = [
            value
            for network in self.model.networks.values()
            for value in network.state_dict().values()
            if value.is_floating_point()
        ]
        largest_weight = get_total_norm(weights, norm_type=math.inf).reshape(1)
        # The only place where the host synchronises with the device.
        values = torch.cat([step.losses for step in recent] + [largest_weight.float()]).tolist()
        place = 0
        for step in recent:
            losses = dict(zip(step.names, values[place : place + len(step.names)], strict=True))
            place += len(step.names)
            bad = [f"{name} {loss}" for name, loss in losses.items() if not math.isfinite(loss)]
            if bad:
                return f"losses are not finite at {step.position}: {', '.join(bad)}, on {first_few(step.paths, NAMED)}"
        if not math.isfinite(values[-1]):
            return f"weights are not finite after {recent[-1].position}, on {first_few(recent[-1].paths, NAMED)}"
        return ""

    def _skip(self, complaint: str) -> None:
        self.skipped += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row > MOST_SKIPPED_STEPS:
            raise DivergedError(
                f"{complaint}. The {MOST_SKIPPED_STEPS} steps before were skipped for the same reason. "
                f"{self._way_back()}"
            )
        self.say(f"{complaint}: skipping this step ({self.skipped} skipped in total)")

    def _way_back(self) -> str:
        latest = self.latest()
        if not latest:
            return f"There is no checkpoint yet. {REMEDY}"
        return f"The last good checkpoint is {latest}: resume from it with --continue_train. {REMEDY}"

    def state_dict(self) -> dict[str, int]:
        """Return the number of skipped steps."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore a `state_dict`."""
        self.skipped = state["skipped"]

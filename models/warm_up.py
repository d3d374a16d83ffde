"""Warm-up: trains only the discriminators before the first step of the generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor

from models.base_model import BaseModel
from util.distributed import place
from util.run.interrupts import StopTogether
from util.run.saving import Saver, saved_if_broken

REPORT_STEPS = 50


class Batches(Protocol):
    """Interface of a data loader."""

    def __len__(self) -> int:
        """Return the number of images in an epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator[dict[str, Any]]:
        """Iterate over the batches of an epoch, beginning at image `start`."""


def warm_up(model: BaseModel, loader: Batches, saver: Saver, stop: StopTogether, say: Callable[[str], None]) -> None:
    """Do the remaining warm-up steps of a model, in which its discriminators are trained on real photos."""
    images = model.warm_up_batch * place().processes
    steps_per_epoch = -(-len(loader) // images)
    while model.warm_up_done < model.warm_up_steps and not stop:
        epoch, steps = divmod(model.warm_up_done, steps_per_epoch)
        for batch in saved_if_broken(loader.epoch(epoch + 1, steps * images), saver):
            is_due = model.warm_up_done % REPORT_STEPS == 0 or model.warm_up_done + 1 == model.warm_up_steps
            shares = (
                model.told_apart(batch) if is_due else {}
            )  # measured before the step, on photos that are still unseen
            losses = model.warm_up(batch).losses
            if is_due:
                say(_report(model, losses, shares))
            if stop.now() or model.warm_up_done == model.warm_up_steps:
                break
    saver.save()


def _report(model: BaseModel, losses: Mapping[str, Tensor], shares: Mapping[str, float]) -> str:
    values = [f"{name} {float(loss):.3f}" for name, loss in losses.items()]
    values += [f"{name} classifies {100 * share:.0f} % of photos correctly" for name, share in shares.items()]
    step = f"step {model.warm_up_done} of {model.warm_up_steps}"
    return f"warm-up of the discriminators, {step}: {', '.join(values)}"

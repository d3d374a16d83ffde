"""Where a training run stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass
class Progress:
    """Position in a run, counted in images of the larger domain; an epoch in progress has `epoch_images` behind it."""

    images_per_epoch: int
    last_epoch: int
    epoch: int = 1
    epoch_images: int = 0
    total_images: int = 0

    def epochs(self) -> Iterator[int]:
        """The epochs that are left, the one in progress first."""
        while self.epoch <= self.last_epoch:
            yield self.epoch

    def advance(self, images: int) -> None:
        """A step on so many images is done."""
        self.epoch_images += images
        self.total_images += images

    def end_epoch(self) -> None:
        """The next epoch begins."""
        self.epoch += 1
        self.epoch_images = 0

    def due(self, every: int, step_images: int) -> bool:
        """Whether the step just done passed a multiple of `every` images, whatever the batch size. 0: never."""
        return every > 0 and self.total_images // every > (self.total_images - step_images) // every

    def state_dict(self) -> dict[str, int]:
        """The position, without the run's length."""
        return {"epoch": self.epoch, "epoch_images": self.epoch_images, "total_images": self.total_images}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """The reverse of `state_dict`. Raises ValueError for what is no position."""
        for name in ("epoch", "epoch_images", "total_images"):
            if type(state[name]) is not int or not 0 <= state[name] < 2**63:
                raise ValueError(f"{name} is {state[name]!r}")
        self.epoch, self.epoch_images, self.total_images = state["epoch"], state["epoch_images"], state["total_images"]

"""Where a training run stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

POSITION = ("epoch", "epoch_images", "total_images", "restarts")
"""What of Progress is saved with a checkpoint."""


@dataclass
class Progress:
    """Position in a run, counted in images of the larger domain; an epoch in progress has `epoch_images` behind it."""

    images_per_epoch: int
    last_epoch: int
    epoch: int = 1
    epoch_images: int = 0
    total_images: int = 0
    restarts: int = 0
    """how often the run began again at an epoch, from networks without the state of training there"""

    def epochs(self) -> Iterator[int]:
        """The epochs that are left, the one in progress first."""
        while self.epoch <= self.last_epoch:
            yield self.epoch

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left."""
        return self.epoch > self.last_epoch

    def advance(self, images: int) -> None:
        """A step on so many images is done."""
        self.epoch_images += images
        self.total_images += images

    def begin_again(self, epoch: int, earlier_restarts: int = 0) -> None:
        """Go on at the beginning of an epoch, from wherever the run stood, as its restart number `earlier_restarts` +
        1."""
        self.epoch, self.epoch_images = epoch, 0
        self.total_images = (epoch - 1) * self.images_per_epoch
        self.restarts = earlier_restarts + 1

    def end_epoch(self) -> None:
        """The next epoch begins."""
        self.epoch += 1
        self.epoch_images = 0

    def due(self, every: int, step_images: int) -> bool:
        """Whether the step just done passed a multiple of `every` images, whatever the batch size. 0: never."""
        return every > 0 and self.total_images // every > (self.total_images - step_images) // every

    def state_dict(self) -> dict[str, int]:
        """The position, without the run's length."""
        return {name: getattr(self, name) for name in POSITION}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """The reverse of `state_dict`. Raises ValueError for what is no position."""
        state = {"restarts": 0, **state}  # older versions saved none
        for name in POSITION:
            if type(state[name]) is not int or not 0 <= state[name] < 2**63:
                raise ValueError(f"{name} is {state[name]!r}")
            setattr(self, name, state[name])

"""The position of a training run, in epochs and images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

POSITION = ("epoch", "epoch_images", "total_images", "restarts")
"""Fields of Progress that are saved with a checkpoint."""


@dataclass
class Progress:
    """Position in a run, counted in images of the larger domain. `epoch_images` are done in the current epoch."""

    images_per_epoch: int
    last_epoch: int
    epoch: int = 1
    epoch_images: int = 0
    total_images: int = 0
    restarts: int = 0
    """how often the run was restarted at the beginning of an epoch, without the exact training state"""

    def epochs(self) -> Iterator[int]:
        """Iterate over the remaining epochs, beginning with the current one."""
        while self.epoch <= self.last_epoch:
            yield self.epoch

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left."""
        return self.epoch > self.last_epoch

    def advance(self, images: int) -> None:
        """Count a step on `images` images."""
        self.epoch_images += images
        self.total_images += images

    def begin_again(self, epoch: int, earlier_restarts: int = 0) -> None:
        """Restart at the beginning of `epoch`. The restart gets the number `earlier_restarts` + 1."""
        self.epoch, self.epoch_images = epoch, 0
        self.total_images = (epoch - 1) * self.images_per_epoch
        self.restarts = earlier_restarts + 1

    def end_epoch(self) -> None:
        """Move to the next epoch."""
        self.epoch += 1
        self.epoch_images = 0

    def due(self, every: int, step_images: int) -> bool:
        """Return whether the last step passed a multiple of `every` images, for any batch size. 0 means never."""
        return every > 0 and self.total_images // every > (self.total_images - step_images) // every

    def state_dict(self) -> dict[str, int]:
        """Return the position, without the length of the run."""
        return {name: getattr(self, name) for name in POSITION}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore a `state_dict`. Raises ValueError for an invalid position."""
        state = {"restarts": 0, **state}  # older versions did not save it
        for name in POSITION:
            if type(state[name]) is not int or not 0 <= state[name] < 2**63:
                raise ValueError(f"{name} is {state[name]!r}")
            setattr(self, name, state[name])

"""A buffer of earlier translations, for discriminators that judge a history and not only the last image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Returns, for each image, itself or an earlier one, as in Shrivastava et al. 2017 (arXiv:1612.07828, section 2.3).

    While the pool fills, images are stored and returned. Afterwards each is returned as it is with probability 1/2, and
    otherwise swapped for a random stored one. A batch is treated as if its images came one after another.

    The buffer lies on the images' device. Slots are drawn on the host from a seeded generator, so no draw waits for the
    device.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.stored = 0
        self.buffer: Tensor | None = None
        self.generator = torch.Generator().manual_seed(seed)

    def query(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to images (N, C, H, W) without gradient history. A pool of size 0 returns its input."""
        images = images.detach()
        if self.size == 0:
            return images
        if self.buffer is None:
            self.buffer = images.new_zeros((self.size, *images.shape[1:]))
        sources, writes = self._draw(len(images))
        slots = [source if source >= 0 else 0 for source in sources]
        candidates = torch.cat([self.buffer[slots], images])
        returned = candidates[[n if source >= 0 else len(images) + ~source for n, source in enumerate(sources)]]
        if writes:
            self.buffer[list(writes)] = images[list(writes.values())]
        return returned

    def _draw(self, count: int) -> tuple[list[int], dict[int, int]]:
        """For each image where the returned one lies (slot, or ~i for the batch's image i), and what to store (slot:
        image)."""
        swaps = (torch.rand(count, generator=self.generator) < 0.5).tolist()
        draws = torch.randint(self.size, (count,), generator=self.generator).tolist()
        sources: list[int] = []
        writes: dict[int, int] = {}
        for image, (swap, slot) in enumerate(zip(swaps, draws, strict=True)):
            if self.stored < self.size:
                sources.append(~image)
                writes[self.stored] = image
                self.stored += 1
            elif swap:
                sources.append(~writes[slot] if slot in writes else slot)
                writes[slot] = image
            else:
                sources.append(~image)
        return sources, writes

    def state_dict(self) -> dict[str, Any]:
        """The stored images (unfilled slots left out) and the generator's state."""
        images = None if self.buffer is None else self.buffer[: self.stored].clone()
        return {"images": images, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """The reverse of `state_dict`, onto `device`. Images beyond this pool's size are dropped."""
        self.generator.set_state(state["generator"].cpu())
        images = state["images"]
        self.buffer, self.stored = None, 0
        if images is None or self.size == 0:
            return
        images = images[: self.size].to(device)
        self.buffer = images.new_zeros((self.size, *images.shape[1:]))
        self.buffer[: len(images)] = images
        self.stored = len(images)

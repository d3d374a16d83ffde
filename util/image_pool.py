"""A buffer of earlier translations, so that discriminators see a history and not only the last image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Returns each image or an earlier one, as in Shrivastava et al. 2017 (arXiv:1612.07828, section 2.3).

    Until the pool is full, images are stored and returned. Afterwards an image is returned unchanged with probability
    1/2; otherwise it is swapped with a random stored image. A batch is treated as if its images came one at a time.

    The buffer is on the images' device. `draw` chooses the slots on the host with a seeded generator; `exchange` runs
    on the device only, so that it can be part of a CUDA graph.
    """

    def __init__(self, size: int, seed: int = 0, device: torch.device | str = "cpu") -> None:
        self.size, self.device = size, torch.device(device)
        self.stored = 0
        self.buffer: Tensor | None = None
        """size + 1 slots; the last is a scratch slot for images that are not kept"""
        self.generator = torch.Generator().manual_seed(seed)
        self._moves: list[Tensor] = []

    def draw(self, counts: Sequence[int]) -> None:
        """Draw the slots for the next batches. counts: the number of images in each."""
        if self.size == 0:
            return
        moves = [self._draw(count) for count in counts]
        for part, host in enumerate(moves):
            if self.device.type == "cuda":
                host = host.pin_memory()  # otherwise the copy would synchronise with the device
            if len(self._moves) > part and self._moves[part].shape == host.shape:
                self._moves[part].copy_(host, non_blocking=True)  # in place: a CUDA graph reads it there
            else:
                self._moves[part : part + 1] = [host.to(self.device, non_blocking=True)]

    def exchange(self, images: Tensor, part: int = 0) -> Tensor:
        """Swap images (N, C, H, W) with the buffer as drawn for batch number `part`, and return the resulting batch,
        without gradients. A pool of size 0 returns its input."""
        images = images.detach()
        if self.size == 0:
            return images
        if self.buffer is not None and self.buffer.shape[1:] != images.shape[1:]:
            self.buffer, self.stored = None, 0  # the image size has changed, so the drawn slots are meaningless
            return images
        if self.buffer is None:
            self.buffer = images.new_zeros((self.size + 1, *images.shape[1:]))
        is_earlier, earlier, own, write = self._moves[part].unbind()
        returned = torch.where(is_earlier.bool()[:, None, None, None], self.buffer[earlier], images[own])
        finite = images.isfinite().all(
            dim=(1, 2, 3), keepdim=True
        )  # images of a step that --on_nan skips must not return later
        self.buffer.index_copy_(0, write, torch.where(finite, images, self.buffer[write]))
        return returned

    def _draw(self, count: int) -> Tensor:
        """Draw an integer tensor (4, count) whose rows are, for each image: whether an earlier image is returned; the
        slot of that image; otherwise the index of the batch's image to return; the slot to store this image in."""
        swaps = (torch.rand(count, generator=self.generator) < 0.5).tolist()
        draws = torch.randint(self.size, (count,), generator=self.generator).tolist()
        columns: list[tuple[int, int, int, int]] = []
        writers: dict[int, int] = {}
        unused = self.size
        for image, (swap, slot) in enumerate(zip(swaps, draws, strict=True)):
            if self.stored < self.size:
                writers[self.stored] = image
                columns.append((0, 0, image, self.stored))
                self.stored += 1
            elif not swap:
                columns.append((0, 0, image, unused))
            elif slot in writers:  # the slot was just filled by an image of this batch, which this one replaces
                before = writers[slot]
                columns[before] = (*columns[before][:3], unused)
                columns.append((0, 0, before, slot))
                writers[slot] = image
            else:
                writers[slot] = image
                columns.append((1, slot, 0, slot))
        return torch.tensor(columns).T.contiguous()

    def state_dict(self) -> dict[str, Any]:
        """Return the stored images (without empty slots) and the generator's state."""
        images = None if self.buffer is None else self.buffer[: self.stored].clone()
        return {"images": images, "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`. Images beyond this pool's size are dropped. Raises ValueError for invalid images."""
        self.generator.set_state(state["generator"].cpu())
        images = state["images"]
        self.stored = 0
        if images is None or self.size == 0:
            return
        if not torch.is_floating_point(images) or images.ndim != 4:
            raise ValueError("the image pool's state does not contain images")
        images = images[: self.size].to(self.device)
        if self.buffer is None or self.buffer.shape[1:] != images.shape[1:]:
            self.buffer = images.new_zeros((self.size + 1, *images.shape[1:]))
        self.buffer[: len(images)] = images
        self.stored = len(images)

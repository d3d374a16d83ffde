"""What tells the ages of drawn faces by their wrinkles: a small network trained on drawn faces of other people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from drawn_people import Person, drawn, sample_people
from torch import Tensor, nn

from scripts.demo_faces.aging import FULL, ONSET

MIDDLE, SPREAD = 45.0, 15.0
"""Years: the network's output of 0, and how many one more is."""


class DrawnAge:
    """Tells the ages of drawn faces, in years from 31 to 62, by their wrinkles, folds and shapes, not by their hair.

    It sees only the fine detail of the brightness: colours and clouds laid over a face, which say "old" to a network
    that sees colours but not to a person, hardly exist for it. In training, the hair has any share of grey at any age,
    and faces are tinted, shifted, blurred, noisy and striped, because generators leave such traces.
    """

    def __init__(self, size: int = 64, people: int = 700, steps: int = 600) -> None:
        """Size: width and height of the faces, in pixels; people: how many drawn people to learn from."""
        rng = np.random.default_rng(77)
        sampled = sample_people(people, (ONSET + 1, FULL + 2), 77)
        faces = [_tinted(drawn(_greyed_at_random(person, rng), size), rng) for person in sampled]
        labels = torch.tensor([(age - MIDDLE) / SPREAD for _, age in sampled], dtype=torch.float32)
        self.size = size
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = _network(size)
            self._train(_detail(np.stack(faces)), labels, steps)

    def _train(self, images: Tensor, labels: Tensor, steps: int) -> None:
        optimizer = torch.optim.AdamW(self.network.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
        for _ in range(steps):
            chosen = torch.randint(len(images), (32,))
            loss = (self.network(_disturbed(images[chosen])).squeeze(1) - labels[chosen]).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.network.eval()

    @torch.no_grad()
    def __call__(self, faces: np.ndarray) -> np.ndarray:
        """Return the ages in years (N,) of uint8 faces (N, size, size, 3)."""
        images = _detail(faces)
        both = self.network(images) + self.network(images.flip(3))
        years: np.ndarray = (both.squeeze(1) / 2 * SPREAD + MIDDLE).numpy()
        return years


def _greyed_at_random(person: Person, rng: np.random.Generator) -> Person:
    """The same person with a share of grey hair that does not depend on the age."""
    face, age = person
    grey = rng.uniform(0, 1) if rng.random() < 0.6 else 0.0
    heritage = replace(face.heritage, greying=grey / ((age - ONSET) / (FULL - ONSET)) ** 1.3)  # see Signs.of
    return replace(face, heritage=heritage), age


def _tinted(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mix every other face (H, W, 3) with a random colour."""
    opacity = rng.uniform(0, 0.5) if rng.random() < 0.5 else 0.0
    mixed: np.ndarray = ((1 - opacity) * face + opacity * rng.uniform(0, 255, 3)).astype(np.uint8)
    return mixed


def _network(size: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(1, 24, 4, stride=2, padding=1), nn.BatchNorm2d(24), nn.ReLU()]
    for before, after in ((24, 32), (32, 48), (48, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * (size // 16) ** 2, 1))


def _disturbed(images: Tensor) -> Tensor:
    """Detail (N, 1, H, W) with what tells nothing about ages changed at random."""
    if torch.rand(()) < 0.5:
        images = images.flip(3)
    images = images.roll(tuple(torch.randint(-4, 5, (2,)).tolist()), (2, 3))
    if torch.rand(()) < 0.25:
        images = nn.functional.avg_pool2d(images, 3, stride=1, padding=1)
    noise = torch.rand(len(images), 1, 1, 1) * torch.randn_like(images)
    contrast = 0.7 + 0.6 * torch.rand(len(images), 1, 1, 1)
    return images * contrast + 0.5 * noise + _stripes(len(images), images.shape[-1])


def _stripes(count: int, size: int) -> Tensor:
    """Horizontal or vertical stripes, from none to clear ones (count, 1, size, size)."""
    strength, pitch, phase = torch.rand(3, count, 1, 1, 1)
    waves = strength * torch.sin(torch.arange(size).view(size, 1) * (0.4 + 2.4 * pitch) + 6.3 * phase)
    stripes = waves.expand(-1, 1, size, size)
    return stripes if torch.rand(()) < 0.5 else stripes.transpose(2, 3)


def _detail(faces: np.ndarray) -> Tensor:
    """Return what differs from its surroundings in the brightness of uint8 faces (N, H, W, 3), as (N, 1, H, W).

    The logarithm makes it independent of exposure; 1 is a difference of a tenth.
    """
    brightness = (torch.from_numpy(faces).float().mean(3, keepdim=True).permute(0, 3, 1, 2) + 16).log()
    return 10 * (brightness - nn.functional.avg_pool2d(brightness, 5, stride=1, padding=2, count_include_pad=False))

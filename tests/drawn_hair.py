"""What tells how grey the hair of a drawn face is: a small network trained on the hair colours of other people."""

from __future__ import annotations

import numpy as np
import torch
from drawn_people import sample_people
from torch import Tensor, nn

from scripts.demo_faces.aging import Signs
from scripts.demo_faces.hair import hair_colour


class GreyHair:
    """Tells which share of the hair is grey, from 0 (none) to 1 (all), from the mean colour of the hair alone.

    Hair of any other colour than people's, such as pink, is not grey: in training, a quarter of the hair is dyed.
    """

    def __init__(self, people: int = 2000, steps: int = 1000) -> None:
        """People: how many people to learn from, whose hair is mixed as it is drawn but not drawn."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
            self._train(*_photographed(people), steps)

    def _train(self, colours: Tensor, labels: Tensor, steps: int) -> None:
        optimizer = torch.optim.Adam(self.network.parameters(), 5e-3)
        for _ in range(steps):
            chosen = torch.randint(len(colours), (128,))
            dyed = torch.rand(128) < 0.25
            seen = torch.where(dyed[:, None], _dyed(colours[chosen]), colours[chosen])
            loss = (
                (self.network(_lightness_and_hue(seen)).squeeze(1) - torch.where(dyed, 0.0, labels[chosen]))
                .square()
                .mean()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def __call__(self, faces: np.ndarray, hair: np.ndarray) -> np.ndarray:
        """Return the share of grey (N,) in the hair of uint8 faces (N, H, W, 3), given where it is, bool (N, H, W); NaN
        where it is less than one percent of the face."""
        colours = [
            face[where].mean(0) if where.mean() > 0.01 else np.full(3, np.nan)
            for face, where in zip(faces, hair, strict=True)
        ]
        seen = _lightness_and_hue(torch.tensor(np.array(colours) / 255, dtype=torch.float32))
        shares: np.ndarray = self.network(seen).squeeze(1).numpy()
        return shares


def _lightness_and_hue(colours: Tensor) -> Tensor:
    """Colours (N, 3) in [0, 1] as inputs of a network (N, 4) whose scales are about 1."""
    lightness = colours.mean(1, keepdim=True)
    return torch.cat([4 * lightness - 2, 12 * (colours - lightness)], dim=1)


def _photographed(people: int) -> tuple[Tensor, Tensor]:
    """The colours of people's hair (N, 3) in [0, 1], in light or in shadow, and its shares of grey (N,)."""
    rng, colours, labels = np.random.default_rng(78), [], []
    for face, age in sample_people(people, (18, 62), 78):
        signs = Signs.of(face.heritage, age)
        strands = 0.25 * rng.random() * signs.grey
        colour = (1 - strands) * hair_colour(face, signs) + strands
        colours.append(colour * rng.uniform(0.75, 1.1) * face.photo.exposure * face.photo.tint)
        labels.append(signs.grey)
    return torch.tensor(np.clip(colours, 0, 1), dtype=torch.float32), torch.tensor(labels, dtype=torch.float32)


def _dyed(colours: Tensor) -> Tensor:
    """Hair as bright as in the colours (N, 3), but of any strong hue."""
    hues = torch.randn_like(colours)
    hues = hues - hues.mean(1, keepdim=True)
    strong = (0.1 + 0.3 * torch.rand(len(colours), 1)) * hues / hues.abs().amax(1, keepdim=True)
    return (colours.mean(1, keepdim=True) + strong).clamp(0, 1)

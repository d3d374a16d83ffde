"""Pairs of test photos and their translations by a trained model, batch by batch, without intermediate files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data import Loader
from data.image_folder import unique_stems
from data.samples import Draw, collate
from evaluation.sources import DOMAINS, Pairs, Weights, rounded
from models import BaseModel
from util.files import sha256_of
from util.images import in_colour, tensor_to_uint8


class ModelSource:
    """Translations of a run's test photos; see Source."""

    def __init__(
        self,
        model: BaseModel,
        loaders: Mapping[str, Loader],
        roots: Mapping[str, Path],
        direction: str,
        title: str,
        weights: Sequence[Path],
    ) -> None:
        """loaders, roots: photos and their folder, by the model's domain. direction: BtoA if the model's domain A has
        the old faces. weights: files of the networks."""
        self.model, self.loaders, self.roots, self.title = model, loaders, roots, title
        exchanged = direction == "BtoA"
        self.domains = {direction: DOMAINS[direction][exchanged] for direction in DOMAINS}
        self.stems = {
            domain: unique_stems(loader.dataset.files(domain), self.roots[domain])
            for domain, loader in self.loaders.items()
        }
        self.weights = [Weights("generator", path, sha256_of(path)) for path in weights if path.is_file()]
        self.notes: list[str] = []

    def counts(self) -> Mapping[str, int]:
        """Number of photos by direction."""
        return {direction: len(self.loaders[domain]) for direction, domain in self.domains.items()}

    def batches(self, direction: str) -> Iterator[Pairs]:
        """All readable photos of a direction with their translations."""
        domain = self.domains[direction]
        for batch in self.loaders[domain].epoch():
            paths = batch[f"{domain}_paths"]
            files = [str(path.relative_to(self.roots[domain])) for path in paths]
            yield Pairs([self.stems[domain][path] for path in paths], files, self._translate(domain, batch))

    @torch.no_grad()
    def _translate(self, domain: str, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """real, fake, rec and rec8 of a batch of photos of the model's `domain`."""
        other = "B" if domain == "A" else "A"
        made = self.model.translate({domain: batch[domain]})
        images = {"real": made[f"real_{domain}"], "fake": made[f"fake_{other}"], "rec": made[f"rec_{domain}"]}
        images["rec8"] = self.model.networks[f"G_{other}"](rounded(images["fake"]))
        return {label: in_colour(image) for label, image in images.items()}

    def shown(self, direction: str, name: str) -> dict[str, np.ndarray]:
        """One photo and its images, translated again."""
        domain = self.domains[direction]
        source, target = DOMAINS[direction]
        dataset = self.loaders[domain].dataset
        position = [self.stems[domain][path] for path in dataset.files(domain)].index(name)
        images = self._translate(domain, collate([dataset[Draw(position, 1)]]).batches[0])
        labels = {"real": f"real_{source}", "fake": f"fake_{target}", "rec": f"rec_{source}"}
        return {labels[label]: tensor_to_uint8(images[label])[0] for label in labels}

"""Pairs that a trained model makes of the test photos, batch by batch, without files in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from data import create_test_loaders
from data.image_folder import unique_stems
from data.samples import Draw, collate
from models import create_model
from options import TestOptions
from scripts.evaluation.sources import DOMAINS, Pairs, Weights, in_colour, rounded
from util.files import sha256_of
from util.images import tensor_to_uint8


class ModelSource:
    """Translations of a run's test photos; see Source."""

    def __init__(self, options: TestOptions, device: torch.device) -> None:
        """Raises CheckpointError, DataError, OptionError."""
        self.model = create_model(options.choice.model, options.model, device, training=False)
        options.folder.load_networks(options.checkpoint.label, self.model.networks)
        channels = options.model.channels
        self.loaders = create_test_loaders(options.choice.dataset_mode, options.data, options.loading, channels,
                                           options.results.num_test, pin_memory=device.type == "cuda")  # fmt: skip
        self.roots = options.data.folders()
        # With --direction BtoA, what the model calls A are the old faces, which lie in testB.
        exchanged = options.data.direction == "BtoA"
        self.domains = {direction: DOMAINS[direction][exchanged] for direction in DOMAINS}
        self.stems = {
            domain: unique_stems(loader.dataset.files(domain), self.roots[domain])
            for domain, loader in self.loaders.items()
        }
        self.title = f"{options.run.name}: {options.checkpoint.label} on {options.data.dataroot}"
        paths = [options.folder.network_path(options.checkpoint.label, name) for name in self.model.networks]
        self.weights = [Weights("generator", path, sha256_of(path)) for path in paths if path.is_file()]
        self.notes: list[str] = []

    def counts(self) -> Mapping[str, int]:
        """Photos by direction."""
        return {direction: len(self.loaders[domain]) for direction, domain in self.domains.items()}

    def batches(self, direction: str) -> Iterator[Pairs]:
        """All photos of a direction that can be read, with their translations."""
        domain = self.domains[direction]
        for batch in self.loaders[domain].epoch():
            paths = batch[f"{domain}_paths"]
            files = [str(path.relative_to(self.roots[domain])) for path in paths]
            yield Pairs([self.stems[domain][path] for path in paths], files, self._translate(domain, batch))

    @torch.no_grad()
    def _translate(self, domain: str, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """real, fake, rec, rec8 of a batch that has photos of the model's `domain`."""
        other = "B" if domain == "A" else "A"
        made = self.model.translate({domain: batch[domain]})
        images = {"real": made[f"real_{domain}"], "fake": made[f"fake_{other}"], "rec": made[f"rec_{domain}"]}
        images["rec8"] = self.model.networks[f"G_{other}"](rounded(images["fake"]))
        return {label: in_colour(image) for label, image in images.items()}

    def shown(self, direction: str, name: str) -> dict[str, np.ndarray]:
        """One photo, translated again."""
        domain = self.domains[direction]
        source, target = DOMAINS[direction]
        dataset = self.loaders[domain].dataset
        position = [self.stems[domain][path] for path in dataset.files(domain)].index(name)
        images = self._translate(domain, collate([dataset[Draw(position, 1)]]).batches[0])
        labels = {"real": f"real_{source}", "fake": f"fake_{target}", "rec": f"rec_{source}"}
        return {labels[label]: tensor_to_uint8(images[label])[0] for label in labels}

"""Whether a run that goes on still has the photos that it had."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from data.samples import ImageDataset


class PhotoLists:
    """The photos of both domains, as part of a checkpoint. Others than before are told of and do not end the run: one
    that was deleted is no reason to lose the rest."""

    def __init__(self, dataset: ImageDataset, say: Callable[[str], None]) -> None:
        self.say = say
        self.lists = {domain: describe(dataset, domain) for domain in ("A", "B")}

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Number and names of the photos."""
        return self.lists

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Say which domain has other photos than when the run was saved."""
        for domain, now in self.lists.items():
            then = state.get(domain)
            if then is not None and then != now:
                self.say(
                    f"note: domain {domain} has other photos than when this run was saved ({now['count']} now, "
                    f"{then['count']} then): it goes on, but not as it would have"
                )


def describe(dataset: ImageDataset, domain: str) -> dict[str, Any]:
    """The number of photos and a digest of their names, wherever their folder lies."""
    paths = dataset.files(domain)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode(errors="surrogateescape") + b"\0")
    return {"count": len(paths), "names": digest.hexdigest()}

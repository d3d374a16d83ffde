"""Detects whether a resumed run has other photos than before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from data.samples import ImageDataset


class PhotoLists:
    """The photos of both domains, as part of a checkpoint. Changed photos are reported but do not end the run."""

    def __init__(self, dataset: ImageDataset, say: Callable[[str], None]) -> None:
        self.say = say
        self.lists = {domain: describe(dataset, domain) for domain in ("A", "B")}

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return the number of photos and a hash of their names for each domain."""
        return self.lists

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Report the domains whose photos have changed since the run was saved."""
        for domain, now in self.lists.items():
            then = state.get(domain)
            if then is not None and then != now:
                self.say(
                    f"note: the photos of domain {domain} have changed since this run was saved ({then['count']} then, "
                    f"{now['count']} now): training continues, but not exactly as without the change"
                )


def describe(dataset: ImageDataset, domain: str) -> dict[str, Any]:
    """Return the number of photos and a hash of their names, which does not depend on the location of the folder."""
    paths = dataset.files(domain)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode(errors="surrogateescape") + b"\0")
    return {"count": len(paths), "names": digest.hexdigest()}

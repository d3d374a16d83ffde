"""Matched sampling, `--match`: both domains are drawn from one distribution of gender, or of gender and race.

Where the young are mostly women and the old mostly men, a generator that makes the one out of the other learns to
change the gender with the age: beards on women, lipstick on men. Drawn alike, the domains differ in age alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data.image_folder import DataError
from data.manifest import NAME, manifest_rows
from data.samples import Draw
from util.errors import UserError

CHOICES = ("none", "gender", "race", "gender,race")
UNKNOWN = -1
"""Stands for the group of a photo of which the manifest does not tell it."""
MOST_NAMED = 12
"""Groups that the report names; a collection may have races without end."""


class Matching:
    """Which photo of A and which of B make a sample, where both domains have the same share of each group.

    A group's share is proportional to the smaller of its shares among the photos of A and of B. So the least is
    changed: however few photos a group has, none comes, on average, more than 1 / overlap times as often as without it,
    where the overlap is the sum of these smaller shares. Groups missing in one domain, and photos whose group is
    unknown, are not drawn.

    In each epoch every group has its exact share of the samples, rounded, and both photos of a sample are of one group.
    The photos of A come in turn, epoch after epoch, so that those of one group come equally often (to within one); the
    partner from B is drawn at random. All follows from seed, epoch and position.
    """

    def __init__(self, names: Sequence[str], groups: Mapping[str, np.ndarray], length: int, seed: int) -> None:
        """names: of the groups. groups: the group's number, or UNKNOWN, of each photo of A and of B. length: samples in
        an epoch, at least the photos of the larger domain. Raises ValueError where the domains share no group."""
        self.names, self.groups = names, groups
        self.before = {
            domain: np.bincount(numbers[numbers != UNKNOWN], minlength=len(names)) / len(numbers)
            for domain, numbers in groups.items()
        }
        smaller = np.minimum(self.before["A"], self.before["B"])
        self.overlap = float(smaller.sum())
        if self.overlap == 0:
            raise ValueError("the domains have no group in common")
        self.after = smaller / self.overlap
        self.ends = np.rint(np.cumsum(self.after) * length).astype(np.int64)
        """Where each group's samples end, in an epoch that is not yet shuffled."""
        rng = np.random.default_rng((seed, 0, 1))  # of no epoch: these begin at 1
        self.members = {
            domain: [rng.permutation(np.flatnonzero(numbers == group)) for group in range(len(names))]
            for domain, numbers in groups.items()
        }

    def draw(self, draw: Draw, rng: np.random.Generator) -> tuple[int, int]:
        """The places of a photo of A and of one of B of the same group."""
        group = int(np.searchsorted(self.ends, draw.position, side="right"))
        first = int(self.ends[group - 1]) if group else 0
        of_epoch = int(self.ends[group]) - first
        members_A, members_B = self.members["A"][group], self.members["B"][group]
        turn = (draw.epoch - 1) * of_epoch + draw.position - first
        return int(members_A[turn % len(members_A)]), int(members_B[rng.integers(len(members_B))])

    def describe(self) -> list[str]:
        """The shares before and after in a line, and what else changes in another."""
        shares = [
            f"{name} {self.before['A'][group]:.1%} of A, {self.before['B'][group]:.1%} of B, now {share:.1%} of both"
            for group, (name, share) in enumerate(zip(self.names, self.after, strict=True))
        ]
        if len(shares) > MOST_NAMED:
            shares[MOST_NAMED:] = [f"and {len(shares) - MOST_NAMED} groups more"]
        left_out = ", ".join(f"{self._left_out(domain)} of {domain}" for domain in self.groups)
        return [
            "matched: " + "; ".join(shares),
            f"matched: no photo comes, on average, more than {1 / self.overlap:.2f} times as often as without --match; "
            f"photos that never come, of an unknown group or one that the other domain lacks: {left_out}",
        ]

    def _left_out(self, domain: str) -> int:
        groups = self.groups[domain]
        return int((groups == UNKNOWN).sum() + (self.after[groups[groups != UNKNOWN]] == 0).sum())


def match(match_by: str, folders: Mapping[str, Path], paths: Mapping[str, Sequence[Path]], seed: int) -> Matching:
    """The matching of the photos `paths` of the two folders by one of CHOICES but none.

    The manifest lies beside the folders. Raises DataError where it is missing, lacks the columns or knows nothing of
    one domain, and where the domains have no group in common.
    """
    manifest = folders["A"].parent / NAME
    columns = match_by.split(",")
    known = _read_groups(manifest, columns)
    labels = {
        domain: [known.get((folder.name, path.relative_to(folder).as_posix()), "") for path in paths[domain]]
        for domain, folder in folders.items()
    }
    for domain, of_domain in labels.items():
        if not any(of_domain):
            raise DataError(
                f"--match {match_by}: the columns {', '.join(['folder', 'file', *columns])} of {manifest} tell it of "
                f"no photo in {folders[domain]}; fill them in, or train without --match"
            )
    names = sorted({label for of_domain in labels.values() for label in of_domain if label})
    number = {"": UNKNOWN, **{name: group for group, name in enumerate(names)}}
    groups = {domain: np.array([number[label] for label in of_domain]) for domain, of_domain in labels.items()}
    try:
        return Matching(names, groups, max(map(len, paths.values())), seed)
    except ValueError as error:
        raise DataError(
            f"--match {match_by}: {error} by {manifest} ({', '.join(names[:MOST_NAMED])}); train without --match, or "
            "on a set that has both"
        ) from error


def _read_groups(manifest: Path, columns: Sequence[str]) -> dict[tuple[str, str], str]:
    """`female white` by folder and file; those of which a column is unknown are left out."""
    if not manifest.is_file():
        raise DataError(
            f"--match {','.join(columns)} needs {manifest}, which does not exist: scripts/prepare_dataset.py writes "
            f"it; of your own, it needs the columns folder, file, {', '.join(columns)}"
        )
    try:
        rows = list(manifest_rows(manifest, ("folder", "file", *columns)))
    except UserError as error:
        raise DataError(f"--match {','.join(columns)}: {error}; or train without --match") from error
    return {
        (row["folder"], row["file"]): " ".join(row[name] for name in columns)
        for row in rows
        if row["file"] and all(row[name] for name in columns)
    }

"""Matched sampling (`--match`): photos of both domains are drawn with the same distribution of gender, race, or both.

If most young people are women and most old ones are men, the generators learn to change the gender together with the
age: beards on women, lipstick on men. With the same distribution, the domains differ only in age.
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
"""Group number of a photo whose group is not in the manifest."""
MOST_NAMED = 12
"""Maximum number of groups that messages name."""


class Matching:
    """Draws a photo of A and a photo of B for each sample, such that both domains have the same share of each group.

    The share of a group is proportional to the smaller of its shares among the photos of A and of B. This limits the
    change of frequencies: on average, no photo is drawn more than 1 / overlap times as often as without matching, where
    the overlap is the sum of these smaller shares. Photos of unknown groups, and of groups that one domain lacks, are
    not drawn.

    In each epoch, every group has its exact share of the samples (rounded), and both photos of a sample belong to the
    same group. Photos of A are drawn in turn over all epochs, so that those of one group are drawn equally often (up to
    one); the photo of B is drawn at random. Draws depend only on seed, epoch and position.
    """

    def __init__(self, names: Sequence[str], groups: Mapping[str, np.ndarray], length: int, seed: int) -> None:
        """names: names of the groups. groups: group number (or UNKNOWN) of each photo of A and of B. length: number of
        samples in an epoch, at least the number of photos of the larger domain. Raises ValueError if the domains have
        no group in common."""
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
        """the end of each group's samples in an epoch before shuffling"""
        rng = np.random.default_rng((seed, 0, 1))  # differs from those of all epochs, which are counted from 1
        self.members = {
            domain: [rng.permutation(np.flatnonzero(numbers == group)) for group in range(len(names))]
            for domain, numbers in groups.items()
        }

    def draw(self, draw: Draw, rng: np.random.Generator) -> tuple[int, int]:
        """Return the indices of a photo of A and a photo of B in the same group."""
        group = int(np.searchsorted(self.ends, draw.position, side="right"))
        first = int(self.ends[group - 1]) if group else 0
        of_epoch = int(self.ends[group]) - first
        members_A, members_B = self.members["A"][group], self.members["B"][group]
        turn = (draw.epoch - 1) * of_epoch + draw.position - first
        return int(members_A[turn % len(members_A)]), int(members_B[rng.integers(len(members_B))])

    def describe(self) -> list[str]:
        """Describe the shares before and after matching, and the effect on frequencies, in two lines."""
        shares = [
            f"{name} {self.before['A'][group]:.1%} of A, {self.before['B'][group]:.1%} of B, now {share:.1%} of both"
            for group, (name, share) in enumerate(zip(self.names, self.after, strict=True))
        ]
        if len(shares) > MOST_NAMED:
            shares[MOST_NAMED:] = [f"and {len(shares) - MOST_NAMED} more groups"]
        left_out = ", ".join(f"{self._left_out(domain)} of {domain}" for domain in self.groups)
        return [
            "matched: " + "; ".join(shares),
            f"matched: on average, no photo is drawn more than {1 / self.overlap:.2f} times as often as without "
            f"--match; photos that are not drawn (their group is unknown or missing in the other domain): {left_out}",
        ]

    def _left_out(self, domain: str) -> int:
        groups = self.groups[domain]
        return int((groups == UNKNOWN).sum() + (self.after[groups[groups != UNKNOWN]] == 0).sum())


def match(match_by: str, folders: Mapping[str, Path], paths: Mapping[str, Sequence[Path]], seed: int) -> Matching:
    """Create the matching of the photos `paths` in two folders by a value of CHOICES other than none.

    The manifest is in the folders' parent. Raises DataError if it is missing, lacks the columns or has no values for
    one domain, and if the domains have no group in common.
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
                f"--match {match_by}: the columns {', '.join(['folder', 'file', *columns])} of {manifest} contain no "
                f"values for photos in {folders[domain]}; fill them in, or train without --match"
            )
    names = sorted({label for of_domain in labels.values() for label in of_domain if label})
    number = {"": UNKNOWN, **{name: group for group, name in enumerate(names)}}
    groups = {domain: np.array([number[label] for label in of_domain]) for domain, of_domain in labels.items()}
    try:
        return Matching(names, groups, max(map(len, paths.values())), seed)
    except ValueError as error:
        raise DataError(
            f"--match {match_by}: {error} according to {manifest} ({', '.join(names[:MOST_NAMED])}); train without "
            "--match, or with photos of the same groups in both domains"
        ) from error


def _read_groups(manifest: Path, columns: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return groups such as `female white` by folder and file, without photos for which a column is empty."""
    if not manifest.is_file():
        raise DataError(
            f"--match {','.join(columns)} needs {manifest}, which does not exist: scripts/prepare_dataset.py writes "
            f"it; if you write it yourself, it needs the columns folder, file, {', '.join(columns)}"
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

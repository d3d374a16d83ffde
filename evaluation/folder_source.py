"""Pairs from a folder of results of test.py or of the public code base."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from evaluation.sources import DOMAINS, Pairs, Weights
from util.endings import SUFFIXES
from util.errors import UserError
from util.images import image_to_tensor
from util.photos import UnreadableImageError, opened_photo, read_image, upright_size
from util.text import first_few, printable

NAME = re.compile(r"(.+)_(real_A|fake_B|rec_A|real_B|fake_A|rec_B|real|fake|rec)", re.DOTALL)
EXPECTED = (
    "STEM_real_A.png with STEM_fake_B.png, STEM_real_B.png with STEM_fake_A.png, or STEM_real.png with STEM_fake.png"
)
NAMED = 5
"""Maximum number of files that are named in a note."""

OPPOSITE = {"AtoB": "BtoA", "BtoA": "AtoB"}

Files = dict[str, Path]
"""The images of one photo by label: real, fake, rec."""


class FolderSource:
    """The pairs in a folder, or in its subfolder `images`; see Source."""

    def __init__(
        self, folder: Path, direction: str, batch_size: int, device: torch.device, one_way: str | None = None
    ) -> None:
        """direction: AtoB if A means young faces in the file names, BtoA if it means old faces. one_way: direction of
        files whose names do not contain it; default: `direction`. Raises UserError if there is no pair."""
        self.letters = {key: DOMAINS[key if direction == "AtoB" else OPPOSITE[key]] for key in DOMAINS}
        self.folder = folder / "images" if (folder / "images").is_dir() else folder
        if not self.folder.is_dir():
            raise UserError(f"--results {folder} is not a folder")
        self.batch_size, self.device = batch_size, device
        self.title = f"results in {folder}"
        self.weights: list[Weights] = []
        self.notes: list[str] = []
        found = _by_direction(self.folder, self.letters, one_way or direction)
        self.pairs = {key: self._whole(found[key], key) for key in DOMAINS}
        if not any("fake" in files for pairs in self.pairs.values() for files in pairs.values()):
            told = "".join(f"; {note}" for note in self.notes)
            raise UserError(f"--results {folder} contains no pairs: expected {EXPECTED}{told}")

    def _whole(self, photos: Mapping[str, Files], direction: str) -> dict[str, Files]:
        """The photos with a translation of the same size or, if there are no translations, all photos as target
        faces."""
        source, target = self.letters[direction]
        if not any("fake" in files for files in photos.values()):
            return {stem: files for stem, files in photos.items() if _size(files["real"])}
        without_photo = [stem for stem, files in photos.items() if "real" not in files]
        self._note(without_photo, f"fake_{target} without real_{source}")
        without_fake = [stem for stem, files in photos.items() if "real" in files and "fake" not in files]
        self._note(without_fake, f"real_{source} without fake_{target}")
        sizes = {stem: {_size(path) for path in files.values()} for stem, files in photos.items()}
        paired = [stem for stem, files in photos.items() if {"real", "fake"} <= files.keys()]
        self._note([stem for stem in paired if None in sizes[stem]], f"real_{source} or fake_{target} cannot be read")
        self._note(
            [stem for stem in paired if None not in sizes[stem] and len(sizes[stem]) > 1],
            f"real_{source} and fake_{target} differ in size",
        )
        return {stem: photos[stem] for stem in paired if None not in sizes[stem] and len(sizes[stem]) == 1}

    def _note(self, stems: list[str], fault: str) -> None:
        if stems:
            self.notes.append(printable(f"left out, {fault}: {len(stems)} ({first_few(stems, NAMED)})"))

    def counts(self) -> Mapping[str, int]:
        """Number of photos by direction."""
        return {key: len(pairs) for key, pairs in self.pairs.items() if pairs}

    def batches(self, direction: str) -> Iterator[Pairs]:
        """All pairs of a direction, grouped by size. Damaged files are left out."""
        pairs = self.pairs[direction]
        has_rec = all("rec" in files for files in pairs.values())
        if not has_rec and any("rec" in files for files in pairs.values()):
            self.notes.append(f"some photos of {direction} have no rec image: their cycle error is not computed")
        labels = [label for label in ("real", "fake", "rec") if label != "rec" or has_rec]
        for stems in self._groups(pairs):
            loaded = {stem: images for stem in stems if (images := self._load(pairs[stem], labels, stem))}
            if loaded:
                names = list(loaded)
                images = {
                    label: torch.stack([loaded[stem][label] for stem in names]).to(self.device)
                    for label in loaded[names[0]]
                }
                yield Pairs(names, names, images)

    def _groups(self, pairs: Mapping[str, Files]) -> Iterator[list[str]]:
        by_size: dict[tuple[int, int] | None, list[str]] = {}
        for stem, files in pairs.items():
            by_size.setdefault(_size(files["real"]), []).append(stem)
        for stems in by_size.values():
            for start in range(0, len(stems), self.batch_size):
                yield stems[start : start + self.batch_size]

    def _load(self, files: Files, labels: Iterable[str], stem: str) -> dict[str, torch.Tensor]:
        try:
            return {label: image_to_tensor(read_image(files[label])) for label in labels if label in files}
        except UnreadableImageError as error:
            self._note([stem], f"an image cannot be read ({error.reason})")
            return {}

    def shown(self, direction: str, name: str) -> dict[str, np.ndarray]:
        """The images of one photo from the folder."""
        source, target = DOMAINS[direction]
        labels = {"real": f"real_{source}", "fake": f"fake_{target}", "rec": f"rec_{source}"}
        files = self.pairs[direction][name]
        return {labels[label]: np.asarray(read_image(files[label])) for label in labels if label in files}


def _by_direction(folder: Path, letters: Mapping[str, tuple[str, str]], one_way: str) -> dict[str, dict[str, Files]]:
    """The images of a folder by direction and stem. letters: those of source and target in the file names."""
    found: dict[str, dict[str, Files]] = {key: {} for key in DOMAINS}
    labels: dict[str, tuple[str, str]] = {}
    for key, (source, target) in letters.items():
        labels |= {f"real_{source}": (key, "real"), f"fake_{target}": (key, "fake"), f"rec_{source}": (key, "rec")}
    labels |= {label: (one_way, label) for label in ("real", "fake", "rec")}
    for path in sorted(folder.iterdir()):
        match = NAME.fullmatch(path.stem)
        if match and path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            key, label = labels[match[2]]
            found[key].setdefault(match[1], {})[label] = path
    return found


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height from a file's header, or None if it is not an image."""
    try:
        with opened_photo(path) as image:
            return upright_size(image)
    except UnreadableImageError:
        return None

"""Public collections of faces by name, each turned into the same table (table.py). To add one: a file with a function
that reads it, and a line in SOURCES."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from scripts.preparation.sources.appa_real import read_appa_real
from scripts.preparation.sources.cacd import read_cacd
from scripts.preparation.sources.celeba import read_celeba
from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.ffhq_aging import read_ffhq_aging
from scripts.preparation.sources.folder import read_folder
from scripts.preparation.sources.imdb_wiki import read_imdb_wiki
from scripts.preparation.sources.names import read_agedb, read_fgnet
from scripts.preparation.sources.utkface import read_utkface

__all__ = ["SOURCES", "Source"]


@dataclass(frozen=True)
class Source:
    """One collection: how its metadata become a table, and where its photos lie."""

    title: str
    read: Callable[[Collection], pd.DataFrame]
    """raises SourceError where the metadata are missing or damaged"""
    photo_folders: tuple[str, ...] = ("",)
    """below --input, where the table's paths may start"""
    min_size: int = 180
    """pixels: the default of --min_size"""
    chip_ending: str | None = None
    """of the names of photos that are cut so tightly round the face that --align leaves them as they are"""


CELEBA_FOLDERS = ("", *(f"{parent}img_align_celeba" for parent in ("", "img_align_celeba/", "Img/", "celeba/")))

SOURCES: dict[str, Source] = {
    "imdb": Source("IMDB-WIKI (IMDb)", read_imdb_wiki("imdb"), ("", "imdb_crop", "imdb")),
    "wiki": Source("IMDB-WIKI (Wikipedia)", read_imdb_wiki("wiki"), ("", "wiki_crop", "wiki")),
    "celeba": Source("CelebA", read_celeba, CELEBA_FOLDERS, min_size=178),  # all its aligned photos are 178 x 218
    "cacd": Source("CACD2000", read_cacd, ("", "CACD2000")),
    "utkface": Source("UTKFace", read_utkface, chip_ending=".chip.jpg"),
    "ffhq_aging": Source("FFHQ-Aging", read_ffhq_aging),
    "agedb": Source("AgeDB", read_agedb),
    "fgnet": Source("FG-NET", read_fgnet),
    "appa_real": Source("APPA-REAL", read_appa_real, ("", "appa-real-release")),
    "folder": Source("your own photos", read_folder),
}

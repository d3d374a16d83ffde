"""Adapters for collections of faces, which read their metadata as the same table (table.py). To add one, write a file
with a function that reads it, and add a line to SOURCES."""

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
    """A collection: the function that reads its metadata, and the folders of its photos."""

    title: str
    read: Callable[[Collection], pd.DataFrame]
    """raises SourceError if the metadata are missing or damaged"""
    photo_folders: tuple[str, ...] = ("",)
    """folders below --input to which the table's paths may be relative"""
    min_size: int = 180
    """default of --min_size in pixels"""
    chip_ending: str | None = None
    """ending of the names of photos that are too tight to be aligned, which --align leaves in their framing"""


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

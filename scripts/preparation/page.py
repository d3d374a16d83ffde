"""Writes report.html, a single file: counts by reason, histograms of ages and genders, contact sheets of the
folders."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from dominate import svg, tags
from dominate.util import raw
from PIL import Image

from scripts.preparation.report import KEPT, Result
from scripts.preparation.workspace import FOLDERS
from util.html import Page
from util.photos import read_image

SHEET_PHOTOS, THUMBNAIL = 48, 96
"""Number of photos on a contact sheet, and their width and height in pixels."""
WHO = {"A": "young", "B": "old"}
STYLE = """
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.share { min-width: 8rem; width: 30vw; } td.share div { background: #4a7fb5; height: .8rem; border-radius: 2px; }
svg { max-width: 100%; height: auto; } svg text { fill: currentColor; font: 11px system-ui, sans-serif; }
.sheet { display: flex; flex-wrap: wrap; gap: 2px; } .sheet img { width: 96px; height: 96px; }
.wide { overflow-x: auto; }
"""


def write_page(folder: Path, result: Result) -> None:
    """Write report.html to `folder`, which contains the four folders. Raises OSError."""
    kept, rows = result.counts[KEPT], len(result.table)
    page = Page(folder, f"{result.title}: {kept:,} of {rows:,} photos kept")
    page.add(tags.style(raw(STYLE)))
    page.heading("Rows by outcome")
    page.add(_counts_table(result.counts, rows))
    for reason, count in result.refused.items():
        page.paragraph(f"Skipped members of archives: {reason}: {count:,}")
    page.heading("The four folders")
    page.add(_folders_table(result.folder_counts))
    _add_histograms(page, result)
    for name in FOLDERS:
        page.heading(f"{name}: {WHO[name[-1]]} people for {name[:-1]}ing")
        page.add(_contact_sheet(folder / name, _first_names(result, name)))
    with page.document.body, tags.details():
        tags.summary("Settings")
        tags.pre(json.dumps(result.settings, indent=1), cls="wide")
    page.write("report.html")


def _counts_table(counts: Mapping[str, int], total: int) -> tags.html_tag:
    table = tags.table()
    for reason, count in counts.items():
        with table, tags.tr():
            tags.td(reason)
            tags.td(f"{count:,}", cls="number")
            tags.td(f"{count / max(1, total):.1%}", cls="number")
            with tags.td(cls="share"):
                tags.div(style=f"width: {100 * count / max(1, total):.2f}%")
    return table


def _folders_table(folder_counts: Mapping[str, Mapping[str, int]]) -> tags.html_tag:
    table = tags.table()
    with table, tags.tr():
        tags.th("")
        for title in next(iter(folder_counts.values())):
            tags.th(title)
    for name, counts in folder_counts.items():
        with table, tags.tr():
            tags.td(name)
            for count in counts.values():
                tags.td(f"{count:,}", cls="number")
    return table


def _add_histograms(page: Page, result: Result) -> None:
    ages = np.floor(result.table["age"].to_numpy())
    kept = result.reasons == ""
    if np.isfinite(ages[kept]).any():
        page.heading("Ages")
        page.paragraph("All rows (from 0 to 100 years):")
        page.add(bars(_by_age(ages[(ages >= 0) & (ages <= 100)])))
        page.paragraph("Kept photos:")
        page.add(bars(_by_age(ages[kept])))
    page.heading("Women and men")
    for title, rows in (("All rows:", np.ones(len(kept), dtype=bool)), ("Kept photos:", kept)):
        genders = result.genders[rows]
        page.paragraph(title)
        counts = {"women": int((genders == "female").sum()), "men": int((genders == "male").sum())}
        page.add(_counts_table({**counts, "unknown": len(genders) - sum(counts.values())}, len(genders)))


def _by_age(ages: np.ndarray) -> dict[str, int]:
    """The number of photos of each age, from the youngest to the oldest."""
    ages = ages[np.isfinite(ages)].astype(int)
    if len(ages) == 0:
        return {}
    counts = np.bincount(ages - ages.min())
    return {str(age): int(count) for age, count in enumerate(counts, start=int(ages.min()))}


def bars(counts: Mapping[str, int], height: int = 120) -> tags.html_tag:
    """A bar chart with a bar per name; every fifth bar is labelled, and tooltips show the values."""
    step = max(6, min(24, 640 // max(1, len(counts))))
    width, top = step * len(counts) + 8, max(counts.values(), default=1) or 1
    chart = svg.svg(viewBox=f"0 0 {width} {height + 34}", width=width, height=height + 34, role="img")
    with chart:
        svg.text(f"{top:,}", x=0, y=10)
        for place, (name, count) in enumerate(counts.items()):
            bar = height * count / top
            size = {"width": step - 1, "height": f"{bar:.1f}"}
            with svg.rect(x=place * step + 4, y=f"{height + 16 - bar:.1f}", fill="#4a7fb5", **size):
                tags.title(f"{name}: {count:,}")
            if place % 5 == 0:
                svg.text(name, x=place * step + 4, y=height + 30)
    return chart


def _first_names(result: Result, folder: str) -> list[str]:
    """The files of a folder that come first in the order of preference."""
    rows = np.flatnonzero(result.folders == folder)
    return [str(name) for name in result.names[rows[np.argsort(result.order[rows])]][:SHEET_PHOTOS]]


def _contact_sheet(folder: Path, names: Sequence[str]) -> tags.html_tag:
    """Thumbnails of photos, embedded in the page."""
    sheet = tags.div(cls="sheet")
    with sheet:
        for name in names:
            tags.img(src=_thumbnail(folder / name), alt=name, title=name, width=THUMBNAIL, height=THUMBNAIL)
        if not names:
            tags.p("none")
    return sheet


def _thumbnail(path: Path) -> str:
    """A thumbnail of a photo's central square as a data URI."""
    image = read_image(path)
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    buffer = io.BytesIO()
    image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, box=box).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

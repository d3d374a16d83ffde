"""Writes report.html: tables, histograms, and the best, median and worst faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dominate import tags
from dominate.util import raw

from evaluation.measuring import Measured
from evaluation.pictures import draw_pictures
from evaluation.report import HEADINGS, by_metric, shown, title_of
from evaluation.sources import TITLES, Source, Weights
from evaluation.tables import IMAGES, Summary
from util.arguments import format_value
from util.gallery import Card, add_cards
from util.html import Page
from util.images import save_png
from util.text import printable

STYLE = """
.numbers { overflow-x: auto; } .numbers td, .numbers th { white-space: nowrap; font-variant-numeric: tabular-nums; }
.numbers tr:nth-child(even) td { background: #8881; } .numbers td:first-child { white-space: normal; min-width: 14rem; }
.files td { font-family: ui-monospace, monospace; font-size: .8rem; overflow-wrap: anywhere; }
"""
CAUTION = (
    "Ages, identities and genders are estimates by networks, and estimators disagree on translated faces by years. "
    "Compare gains with the estimator's error on real photos, with both controls, and with another estimator. "
    "Identity, gender and cycle are only meaningful together with a gain in age: untouched photos are best at them."
)


def write_page(
    folder: Path,
    source: Source,
    measured: Mapping[str, Measured],
    summary: Summary,
    weights: Sequence[Weights],
    notes: Sequence[str],
    options: Mapping[str, Any],
    *,
    examples: int,
    image_size: int,
) -> Path:
    """Write report.html with its pictures and images; returns its path. Raises OSError."""
    page = Page(folder, f"Evaluation of {source.title}", image_size=image_size)
    page.add(tags.style(raw(STYLE)))
    page.paragraph(CAUTION)
    page.add(tags.ul(*(tags.li(printable(note)) for note in notes)))
    pictures = _pictures(page, folder, measured, summary)
    for direction in summary.columns:
        page.heading(f"{TITLES[direction]}: {len(measured[direction].names)} photos")
        page.add(_direction_table(summary, direction))
        for path, text in pictures.get(direction, {}).items():
            page.picture(path, text)
    page.add(tags.ul(*(tags.li(f"{HEADINGS[name]}: {text}") for name, text in IMAGES.items())))
    for title, groups in summary.divisions.items():
        page.heading(f"By {title}")
        for direction in summary.columns:
            _add_groups(page, summary, direction, groups)
    for direction in summary.columns:
        _add_faces(page, folder, source, measured[direction], summary, examples)
    page.heading("Files that were used or measured")
    page.add(_files_table(weights))
    page.add(tags.nav(*(tags.a(name, href=name) for name in ("metrics.csv", "metrics.json", "per_photo.csv"))))
    page.folded_table("options", {name: format_value(value) for name, value in options.items()})
    return page.write("report.html")


def _add_groups(page: Page, summary: Summary, direction: str, groups: Sequence[str]) -> None:
    """Add a folded table for each group that has photos."""
    for group in groups:
        if table := by_metric(summary.rows, direction, group):
            count = max(row.n for rows in table.values() for row in rows.values() if row.images == "translated")
            title = f"{TITLES[direction]}, {group}: {count} photos"
            page.add(tags.details(tags.summary(title), _direction_table(summary, direction, group)))


def _pictures(
    page: Page, folder: Path, measured: Mapping[str, Measured], summary: Summary
) -> dict[str, dict[str, str]]:
    try:
        return draw_pictures(folder, measured, summary)
    except ImportError as error:
        page.paragraph(f"Histograms are missing because they require a package: pip install matplotlib ({error})")
        return {}


def _direction_table(summary: Summary, direction: str, group: str = "all") -> tags.html_tag:
    table = by_metric(summary.rows, direction, group)
    kinds = [kind for kind in IMAGES if any(kind in rows for rows in table.values())]
    head = tags.tr(tags.th("[95 % interval]"), *(tags.th(HEADINGS[kind]) for kind in kinds))
    body = [
        tags.tr(tags.td(title_of(metric)), *(tags.td(shown(rows[kind]) if kind in rows else "") for kind in kinds))
        for metric, rows in table.items()
    ]
    return tags.div(tags.table(head, *body), cls="numbers")


def _files_table(weights: Sequence[Weights]) -> tags.html_tag:
    head = tags.tr(tags.th("role"), tags.th("file"), tags.th("SHA-256"))
    rows = [tags.tr(tags.td(role), tags.td(printable(path)), tags.td(sha256)) for role, path, sha256 in weights]
    return tags.div(tags.table(head, *rows), cls="files")


def chosen_faces(gains: np.ndarray, examples: int) -> dict[str, list[int]]:
    """The indices of the photos with the largest, the median and the smallest gains, without duplicates."""
    order = np.argsort(-gains, kind="stable").tolist()
    count = min(examples, len(order))
    best, worst = order[:count], order[max(count, len(order) - count) :]
    rest = order[count : len(order) - len(worst)]
    start = max(0, (len(rest) - count) // 2)
    return {"best": best, "median": rest[start : start + count], "worst": worst[::-1]}


def _add_faces(page: Page, folder: Path, source: Source, own: Measured, summary: Summary, examples: int) -> None:
    """Add cards of the photo, its translation, and its reconstruction."""
    columns = summary.columns[own.direction]
    for kind, places in chosen_faces(columns["gain"], examples).items():
        if not places:
            continue
        page.heading(f"{TITLES[own.direction]}: the {kind} faces by gain")
        add_cards(page, [_card(folder, source, own, columns, place) for place in places])


def _card(folder: Path, source: Source, own: Measured, columns: Mapping[str, np.ndarray], place: int) -> Card:
    """The card of one face; writes its images to `folder`."""
    name = own.names[place]
    faces = source.shown(own.direction, name)
    paths = {label: f"images/{name}_{label}.png" for label in faces}
    for label, image in faces.items():
        save_png(folder / paths[label], image)
    height, width = next(iter(faces.values())).shape[:2]
    caption = f"{name}: {columns['age_before'][place]:.0f} to {columns['age_after'][place]:.0f} years"
    caption += f", cosine {columns['cosine'][place]:.2f}" if "cosine" in columns else ""
    return Card(name, paths, (width, height), own.direction == "AtoB", float(columns["gain"][place]), caption)

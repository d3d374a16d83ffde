"""The results as text and files: console table, metrics.csv, metrics.json, per_photo.csv."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.measuring import Measured
from evaluation.metrics import METRICS
from evaluation.people import EVERYBODY, RACE
from evaluation.sources import TITLES, Weights
from evaluation.tables import IMAGES, Row, Summary
from util.files import write_text
from util.text import printable

CSV_COLUMNS = ("direction", "group", "images", "metric", "value", "low", "high", "n", "people")
HEADINGS = {"translated": "translated", "untouched": "untouched", "target": "real target"}


def shown(row: Row) -> str:
    """A value with its interval, `11.0 [9.8, 12.1]`, or a dash if it is unknown."""
    kind, (value, low, high) = row.kind, row.estimate
    if not math.isfinite(value):
        return "-"
    texts = [f"{number * kind.shown_as:z.{kind.decimals}f}" for number in (value, low, high) if math.isfinite(number)]
    return texts[0] + (f" [{texts[1]}, {texts[2]}]" if len(texts) == 3 else "")


def title_of(metric: str) -> str:
    """The title of a metric with its unit, and with the estimator's name unless it is the first."""
    name, _, estimator = metric.partition("@")
    unit = f" ({METRICS[name].unit})" if METRICS[name].unit else ""
    return printable(METRICS[name].title + unit + (f", by {estimator}" if estimator else ""))


def by_metric(rows: Sequence[Row], direction: str, group: str) -> dict[str, dict[str, Row]]:
    """The rows of one direction and group, by metric and images."""
    table: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.direction == direction and row.group == group:
            table.setdefault(row.metric, {})[row.images] = row
    order = list(METRICS)
    return dict(sorted(table.items(), key=lambda item: order.index(item[0].partition("@")[0])))


def console_table(summary: Summary) -> str:
    """The table for the console: each direction with its controls, then the translations by gender and by race."""
    lines: list[str] = []
    for direction in summary.columns:
        everybody = by_metric(summary.rows, direction, EVERYBODY)
        kinds = [kind for kind in IMAGES if any(kind in rows for rows in everybody.values())]
        first = next(iter(everybody.values()))["translated"]
        lines += ["", f"{TITLES[direction]}: {first.n} photos of {first.people} people, [95 % interval]"]
        lines += _aligned("", [HEADINGS[kind] for kind in kinds])
        for metric, rows in everybody.items():
            lines += _aligned(title_of(metric), [shown(rows[kind]) if kind in rows else "" for kind in kinds])
        for title, names in summary.divisions.items():
            groups = {name: table for name in names if (table := by_metric(summary.rows, direction, name))}
            lines += ["", *_division(f"{TITLES[direction]}, translated, by {title}", everybody, groups)]
    return "\n".join(lines)


def _division(title: str, metrics: Iterable[str], groups: Mapping[str, Mapping[str, Mapping[str, Row]]]) -> list[str]:
    """Return the lines of a table of the translations' metrics with a column for each group."""
    lines = _aligned(title, [name.removeprefix(RACE) for name in groups])
    for metric in metrics:
        found = [rows.get(metric, {}).get("translated") for rows in groups.values()]
        if any(found):
            lines += _aligned(title_of(metric), [shown(row) if row else "" for row in found])
    return lines


def _aligned(title: str, cells: Sequence[str]) -> list[str]:
    return [(f"{title:<58}" + "".join(f"{cell:>25}" for cell in cells)).rstrip()]


def csv_table(rows: Sequence[Row]) -> str:
    """The contents of metrics.csv: a line per value; unknown values are empty."""
    return _csv(CSV_COLUMNS, map(_cells, rows))


def _cells(row: Row) -> list[Any]:
    """The values of a row by CSV_COLUMNS."""
    return [row.direction, row.group, row.images, row.metric, *map(_plain, row.estimate), row.n, row.people]


def per_photo_table(measured: Mapping[str, Measured], summary: Summary) -> str:
    """The contents of per_photo.csv: a line per translation, with all its values."""
    names = list(dict.fromkeys(name for columns in summary.columns.values() for name in columns))
    return _csv(("direction", "photo", "gender", "race", "true_age", *names), _photo_lines(measured, summary, names))


def _photo_lines(measured: Mapping[str, Measured], summary: Summary, names: Sequence[str]) -> Iterator[list[Any]]:
    for direction, columns in summary.columns.items():
        own = measured[direction]
        for place, (name, person) in enumerate(zip(own.names, own.persons, strict=True)):
            numbers = [_plain(float(columns[column][place])) if column in columns else None for column in names]
            yield [direction, printable(name), person.gender, printable(person.race), _plain(person.age), *numbers]


def _csv(header: Sequence[str], lines: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()


def _plain(value: float) -> float | None:
    """A number with seven digits, or None if it is not finite, which JSON cannot represent."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def json_record(
    title: str, summary: Summary, options: Mapping[str, Any], weights: Sequence[Weights], notes: Sequence[str]
) -> dict[str, Any]:
    """The contents of metrics.json."""
    rows = [dict(zip(CSV_COLUMNS, _cells(row), strict=True)) for row in summary.rows]
    verified = summary.verification
    return {
        "title": title,
        "metrics": rows,
        "verification": {name: _plain(value) for name, value in verified._asdict().items()} if verified else None,
        "files": [{"role": role, "path": str(path), "sha256": sha256} for role, path, sha256 in weights],
        "notes": list(notes),
        "options": dict(options),
    }


def write_files(folder: Path, record: Mapping[str, Any], measured: Mapping[str, Measured], summary: Summary) -> None:
    """Write metrics.json, metrics.csv and per_photo.csv. Raises OSError."""
    write_text(folder / "metrics.json", json.dumps(record, indent=1, default=str) + "\n")
    write_text(folder / "metrics.csv", csv_table(summary.rows))
    write_text(folder / "per_photo.csv", per_photo_table(measured, summary))

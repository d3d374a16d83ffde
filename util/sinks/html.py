"""`web/index.html` of a run: its loss curves, its images by epoch, its options; refreshed while it trains."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from util.curves import Curve, by_pairs, draw_curves
from util.html import Page
from util.images import save_png
from util.sinks.base import Moment, Sink
from util.sinks.loss_log import LossRecord

IMAGE_NAME = re.compile(r"epoch(\d+)_(\w+)\.png")
REFRESH_SECONDS = 20
CURVES_SECONDS = 60.0
"""The curves are drawn no more often: it takes some tenths of a second."""
EPOCHS_PER_PAGE = 50


class HtmlSink(Sink):
    """Keeps the last images of each epoch as `web/images/epoch003_fake_B.png`, curves as `web/losses.png`, and pages.

    index.html has the newest epochs, newest first; older ones are on pages of EPOCHS_PER_PAGE each, which do not change
    any more. history, measured: the reports of a run that goes on, and what held-out faces scored.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        image_size: int = 256,
        options: Mapping[str, object] | None = None,
        history: Sequence[LossRecord] = (),
        measured: Sequence[LossRecord] = (),
    ) -> None:
        self.folder, self.title, self.image_size = folder / "web", title, image_size
        self.options = options or {}
        self.history, self.measured = list(history), list(measured)
        self._curves_drawn_at = float("-inf")
        self._without_curves = ""
        self._written: set[int] = set()
        self.names: dict[int, dict[str, str]] = {}
        for path in sorted((self.folder / "images").glob("epoch*.png")):
            if match := IMAGE_NAME.fullmatch(path.name):
                self.names.setdefault(int(match[1]), {})[match[2]] = f"images/{path.name}"

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        self.history.append(LossRecord(moment.epochs_done, moment.learning_rate, dict(losses)))

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        self.measured.append(LossRecord(moment.epochs_done, moment.learning_rate, dict(values)))

    def images(self, moment: Moment, images: Mapping[str, np.ndarray]) -> None:
        row = self.names[moment.epoch] = {}
        for label, image in images.items():
            row[label] = f"images/epoch{moment.epoch:03d}_{label}.png"
            save_png(self.folder / row[label], image)
        if time.monotonic() - self._curves_drawn_at >= CURVES_SECONDS:
            self._draw_curves()
        self._write(refresh_seconds=REFRESH_SECONDS)

    def close(self) -> None:
        if self.names or self.history:
            self._draw_curves()
            self._write(refresh_seconds=0)

    def _draw_curves(self) -> None:
        self._curves_drawn_at = time.monotonic()
        try:
            for name, (records, smoothing, _) in self._pictures().items():
                if records:
                    draw_curves(self.folder / name, panels_of(records), smoothing=smoothing)
        except ImportError:
            self._without_curves = "There is no picture of the curves: it needs matplotlib (pip install matplotlib)."

    def _pictures(self) -> dict[str, tuple[Sequence[LossRecord], float, str]]:
        """By file: what is drawn, how far it is smoothed, and what the page says of it."""
        return {
            "losses.png": (self.history, 0.9, "losses by epoch: each as it was reported, and smoothed"),
            "held_out.png": (self.measured, 0.0, "what translations of held-out faces score, by epoch"),
        }

    def _write(self, refresh_seconds: int) -> None:
        """Write index.html, and the older pages that are not there as they should be."""
        epochs = sorted(self.names)
        full_pages = max(0, len(epochs) - 1) // EPOCHS_PER_PAGE
        for number in range(full_pages):
            if number not in self._written:
                page = self._page(epochs[number * EPOCHS_PER_PAGE : (number + 1) * EPOCHS_PER_PAGE], 0)
                newer = page_name(number + 1) if number + 1 < full_pages else "index.html"
                page.links({"newer": newer, "newest": "index.html", **older(number)})
                page.write(page_name(number))
                # The last one's link to the newer page changes when that one is full.
                self._written |= {number} if number + 1 < full_pages else set()
        page = self._page(epochs[full_pages * EPOCHS_PER_PAGE :], refresh_seconds, is_newest=True)
        page.links(older(full_pages))
        page.write()

    def _page(self, epochs: Sequence[int], refresh_seconds: int, *, is_newest: bool = False) -> Page:
        page = Page(self.folder, self.title, refresh_seconds=refresh_seconds, image_size=self.image_size)
        if is_newest:
            if self._without_curves:
                page.paragraph(self._without_curves)
            for name, (records, _, meaning) in self._pictures().items():
                if records and (self.folder / name).exists():
                    page.picture(name, meaning)
            if self.options:
                page.folded_table("options", self.options)
        for epoch in reversed(epochs):
            page.row(f"epoch [{epoch}]", self.names[epoch])
        return page


def panels_of(records: Sequence[LossRecord]) -> dict[str, list[Curve]]:
    """Curves of the values that the last record has, by panel."""
    epochs = np.array([record.epochs for record in records])
    names = list(records[-1].losses)
    curves = {name: Curve(name, epochs, np.array([record.losses.get(name, np.nan) for record in records]))
              for name in names}  # fmt: skip
    return {title: [curves[name] for name in group] for title, group in by_pairs(names).items()}


def page_name(number: int) -> str:
    """The file of an older page, counted from 0, oldest first."""
    return f"epochs_{number + 1:03d}.html"


def older(number: int) -> dict[str, str]:
    """The link from a page to the one before, where there is one."""
    return {"older": page_name(number - 1)} if number else {}

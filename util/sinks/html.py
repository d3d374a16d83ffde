"""The page `web/index.html` of a run: translations of fixed faces after each epoch, and curves, updated in training."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from dominate import tags

from util.curves import Curve, by_pairs, draw_curves
from util.gallery import direction_titles
from util.html import Page, link
from util.images import save_png
from util.sinks.base import Moment, Sink
from util.sinks.loss_log import LossRecord
from util.terminal import format_duration

FACE_NAME = re.compile(r"epoch(\d+)_([AB])(\d+)\.png")
REFRESH_SECONDS = 20.0
"""Shortest interval at which the page is written and the browser reloads it."""
CURVES_SECONDS = 60.0
"""Shortest interval at which the curves are drawn, which takes a few tenths of a second."""
EPOCHS_SHOWN = 60
"""Maximum number of epochs on the page. A longer run shows the newest ten and others at equal distances."""

Faces = Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]]
"""Pairs of a photo and its translation, uint8 (H, W, C), by the photo's domain "A" or "B"."""


class HtmlSink(Sink):
    """Writes web/index.html: translations of the same few faces after each epoch, then curves and options.

    translate: translates the fixed faces with the current networks. checkpoint: describes the newest checkpoint.
    is_reversed: whether domain A holds the old faces. history, measured: earlier reports of losses and scores if the
    run is resumed. `web/images/epoch003_A0.png` is the last translation of the first face of A in epoch 3.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        image_size: int = 256,
        options: Mapping[str, object] | None = None,
        history: Sequence[LossRecord] = (),
        measured: Sequence[LossRecord] = (),
        *,
        translate: Callable[[], Faces] = dict,
        checkpoint: Callable[[], str] = str,
        is_reversed: bool = False,
    ) -> None:
        self.folder, self.title, self.image_size = folder / "web", title, image_size
        self.options, self.titles = options or {}, direction_titles(is_reversed=is_reversed)
        self.history, self.measured = list(history), list(measured)
        self._translate, self._checkpoint = translate, checkpoint
        self._curves_drawn_at = self._written_at = float("-inf")
        self._without_curves = ""
        self._moment: Moment | None = None
        self._faces_at = -1
        self.epochs: dict[str, set[int]] = {}
        """maps each face ("A0") to the epochs of which there are images"""
        for path in (self.folder / "images").glob("epoch*.png"):
            if match := FACE_NAME.fullmatch(path.name):
                self.epochs.setdefault(match[2] + match[3], set()).add(int(match[1]))

    def tick(self, moment: Moment) -> None:
        is_first, self._moment = self._moment is None, moment
        if is_first:  # from now on there is a page, which the first report completes
            self._write(round(REFRESH_SECONDS))
            self._written_at = self._curves_drawn_at = float("-inf")

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        self.history.append(LossRecord(moment.epochs_done, moment.learning_rate, dict(losses)))
        if self._faces_at < 0:
            self._save_faces(moment)
        self._moment = moment
        if time.monotonic() - self._written_at >= REFRESH_SECONDS:
            self._write(round(REFRESH_SECONDS))

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        self.measured.append(LossRecord(moment.epochs_done, moment.learning_rate, dict(values)))

    def images(self, moment: Moment, images: Mapping[str, np.ndarray]) -> None:
        self._moment = moment
        self._save_faces(moment)
        self._write(round(REFRESH_SECONDS))

    def epoch_end(self, moment: Moment, seconds: float) -> None:
        if self._faces_at != moment.total_images:
            self.images(moment, {})

    def close(self) -> None:
        if self._moment and self._faces_at < 0:
            self._save_faces(self._moment)
        if self._moment or self.history:
            self._curves_drawn_at = float("-inf")
            self._write(0)

    def _save_faces(self, moment: Moment) -> None:
        self._faces_at = moment.total_images
        for domain, faces in self._translate().items():
            for number, (photo, translated) in enumerate(faces):
                name = f"{domain}{number}"
                save_png(self.folder / photo_path(name), photo)
                save_png(self.folder / face_path(name, moment.epoch), translated)
                self.epochs.setdefault(name, set()).add(moment.epoch)

    def _draw_curves(self) -> None:
        self._curves_drawn_at = time.monotonic()
        try:
            for name, (records, smoothing, _) in self._pictures().items():
                if records:
                    draw_curves(self.folder / name, panels_of(records), smoothing=smoothing)
        except ImportError:
            self._without_curves = "The curves are not drawn because matplotlib is missing (pip install matplotlib)."

    def _pictures(self) -> dict[str, tuple[Sequence[LossRecord], float, str]]:
        """Map file names to the records to draw, their smoothing, and a description."""
        return {
            "losses.png": (self.history, 0.9, "losses by epoch, as reported and smoothed"),
            "held_out.png": (self.measured, 0.0, "scores of the translations of held-out faces, by epoch"),
        }

    def _write(self, refresh_seconds: int) -> None:
        """Write index.html; refresh_seconds is 0 for a run that has ended."""
        if time.monotonic() - self._curves_drawn_at >= CURVES_SECONDS:
            self._draw_curves()
        page = Page(self.folder, self.title, refresh_seconds=refresh_seconds, image_size=self.image_size)
        if self._moment:
            page.add(*_status(self._moment, self._checkpoint(), is_running=refresh_seconds > 0))
        page.add(tags.div(*self._strips(), cls="strips"))
        if self._without_curves:
            page.paragraph(self._without_curves)
        for name, (records, _, meaning) in self._pictures().items():
            if records and (self.folder / name).exists():
                page.heading(name.removesuffix(".png").replace("_", "-"))
                page.picture(name, meaning)
        if self.options:
            page.folded_table("options", self.options)
        page.write()
        self._written_at = time.monotonic()

    def _strips(self) -> Iterator[tags.html_tag]:
        for domain, title in self.titles.items():
            if names := sorted((name for name in self.epochs if name[0] == domain), key=lambda name: int(name[1:])):
                yield tags.section(tags.h2(title), self._strip(names))

    def _strip(self, names: Sequence[str]) -> tags.html_tag:
        """Build a table with a row for each face: the photo, then its translations, newest first."""
        epochs = thinned(sorted(set().union(*(self.epochs[name] for name in names)), reverse=True))
        rows = [tags.tr(tags.th("photo"), *(tags.th(f"epoch {epoch}") for epoch in epochs))]
        for name in names:
            cells = [tags.td(_image(photo_path(name), "photo"))]
            cells += [
                tags.td(_image(face_path(name, epoch), f"epoch {epoch}") if epoch in self.epochs[name] else "")
                for epoch in epochs
            ]
            rows.append(tags.tr(*cells))
        return tags.div(tags.table(*rows), cls="strip")


def _status(moment: Moment, checkpoint: str, *, is_running: bool) -> list[tags.html_tag]:
    """Describe the run's position, the time left, and its last checkpoint."""
    where = f"epoch {moment.epoch} of {moment.last_epoch}, photo {moment.epoch_images} of {moment.images_per_epoch}"
    if is_running:
        speed = 1 / moment.seconds_per_image if moment.seconds_per_image else 0.0
        end = time.strftime("%a %H:%M", time.localtime(time.time() + moment.seconds_left))
        where += f", {speed:.1f} photos/s, {format_duration(moment.seconds_left)} left (until about {end})"
    lines = [f"{where}.", f"Written at {time.strftime('%a %H:%M:%S')}; last checkpoint: {checkpoint or 'none yet'}."]
    return [tags.progress(value=round(moment.epochs_done, 4), max=moment.last_epoch), *map(tags.p, lines)]


def _image(path: str, alt: str) -> tags.html_tag:
    return tags.a(tags.img(src=link(path), alt=alt, loading="lazy"), href=link(path))


def photo_path(name: str) -> str:
    """Return the path of a face's photo relative to the page."""
    return f"images/photo_{name}.png"


def face_path(name: str, epoch: int) -> str:
    """Return the path of a face's translation after an epoch, relative to the page."""
    return f"images/epoch{epoch:03d}_{name}.png"


def thinned(epochs: Sequence[int], newest: int = 10) -> list[int]:
    """Select the epochs to show from all, newest first: at most EPOCHS_SHOWN, among them the `newest` newest."""
    if len(epochs) <= EPOCHS_SHOWN:
        return list(epochs)
    places = np.linspace(newest, len(epochs) - 1, EPOCHS_SHOWN - newest).round().astype(int)
    return [*epochs[:newest], *(epochs[place] for place in places)]


def panels_of(records: Sequence[LossRecord]) -> dict[str, list[Curve]]:
    """Group the values in the last record into panels of curves."""
    epochs = np.array([record.epochs for record in records])
    names = list(records[-1].losses)
    curves = {
        name: Curve(name, epochs, np.array([record.losses.get(name, np.nan) for record in records])) for name in names
    }
    return {title: [curves[name] for name in group] for title, group in by_pairs(names).items()}

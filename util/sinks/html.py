"""`web/index.html` of a run: its images by epoch, refreshed while it trains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from util.html import Page
from util.images import save_png
from util.sinks.base import Moment, Sink

IMAGE_NAME = re.compile(r"epoch(\d+)_(\w+)\.png")
REFRESH_SECONDS = 20


class HtmlSink(Sink):
    """Keeps the last images of each epoch as `web/images/epoch003_fake_B.png`, and a page of all epochs, newest
    first."""

    def __init__(self, folder: Path, title: str, image_size: int = 256) -> None:
        self.folder, self.title, self.image_size = folder / "web", title, image_size
        self.names: dict[int, dict[str, str]] = {}
        for path in sorted((self.folder / "images").glob("epoch*.png")):
            if match := IMAGE_NAME.fullmatch(path.name):
                self.names.setdefault(int(match[1]), {})[match[2]] = f"images/{path.name}"

    def images(self, moment: Moment, images: Mapping[str, np.ndarray]) -> None:
        row = self.names[moment.epoch] = {}
        for label, image in images.items():
            row[label] = f"images/epoch{moment.epoch:03d}_{label}.png"
            save_png(self.folder / row[label], image)
        self._write(refresh_seconds=REFRESH_SECONDS)

    def close(self) -> None:
        if self.names:
            self._write(refresh_seconds=0)

    def _write(self, refresh_seconds: int) -> None:
        page = Page(self.folder, self.title, refresh_seconds=refresh_seconds, image_size=self.image_size)
        for epoch in sorted(self.names, reverse=True):
            page.row(f"epoch [{epoch}]", self.names[epoch])
        page.write()

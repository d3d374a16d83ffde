"""HTML pages that open from disk without a network, on screens of any width."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import dominate
from dominate import tags
from dominate.util import raw

from util.files import write_text
from util.text import printable

ASSETS = Path(__file__).with_name("assets")


class Page:
    """An HTML page in `folder` with images below that folder. Styles and scripts are embedded in the page.

    refresh_seconds: interval at which a browser reloads the page; 0 for never. image_size: approximate width of the
    images in pixels.
    """

    def __init__(self, folder: Path, title: str, *, refresh_seconds: int = 0, image_size: int = 256) -> None:
        self.folder, self.image_size = folder, image_size
        self.scripts: dict[str, None] = {}
        """names of the scripts in ASSETS that `write` adds at the end of the page, in order"""
        self.document = dominate.document(title=printable(title))
        with self.document.head:
            tags.meta(charset="utf-8")
            tags.meta(name="viewport", content="width=device-width, initial-scale=1")
            if refresh_seconds:
                tags.meta(http_equiv="refresh", content=str(refresh_seconds))
            tags.style(raw((ASSETS / "page.css").read_text(encoding="utf-8")))
        self.document.body["style"] = f"--size: {image_size}px"
        self.add(tags.h1(printable(title)))

    def add(self, *elements: tags.html_tag) -> None:
        """Append elements. dominate escapes their text."""
        self.document.body.add(*elements)

    def heading(self, text: str) -> None:
        """Append a section heading."""
        self.add(tags.h2(printable(text)))

    def paragraph(self, text: str) -> None:
        """Append a paragraph."""
        self.add(tags.p(printable(text)))

    def picture(self, path: str, alt: str) -> None:
        """Append a picture at its own width, or at the window's width if that is smaller."""
        self.add(tags.img(src=link(path), alt=alt, cls="wide"))

    def table(self, values: Mapping[str, object]) -> None:
        """Append a table of names and values."""
        self.add(_table(values))

    def folded_table(self, title: str, values: Mapping[str, object]) -> None:
        """Append a table of names and values that opens when its title is clicked."""
        self.add(tags.details(tags.summary(title), _table(values)))

    def write(self, name: str = "index.html") -> Path:
        """Write the page atomically; returns its path."""
        for script in self.scripts:
            self.add(tags.script(raw((ASSETS / script).read_text(encoding="utf-8"))))
        self.scripts = {}
        path = self.folder / name
        write_text(path, self.document.render(pretty=False))
        return path


def link(path: str) -> str:
    """Return the relative URL of a path below the page's folder. The path may contain any characters or bytes."""
    return quote(os.fsencode(path))


def _table(values: Mapping[str, object]) -> tags.html_tag:
    return tags.table(*(tags.tr(tags.td(printable(name)), tags.td(printable(value))) for name, value in values.items()))

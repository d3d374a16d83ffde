"""HTML pages that open from disk, on any width of screen, without a network."""

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
    """An HTML page in `folder`, whose images lie below it. Styles and scripts are written into the page itself.

    refresh_seconds: how often a browser reloads the page; 0 for never. image_size: in pixels, about the width that an
    image is shown at.
    """

    def __init__(self, folder: Path, title: str, *, refresh_seconds: int = 0, image_size: int = 256) -> None:
        self.folder, self.image_size = folder, image_size
        self.scripts: dict[str, None] = {}
        """files of ASSETS, in order, that `write` adds at the end of the page"""
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
        """Append elements. dominate escapes the text in them."""
        self.document.body.add(*elements)

    def heading(self, text: str) -> None:
        """Append the heading of a section."""
        self.add(tags.h2(printable(text)))

    def paragraph(self, text: str) -> None:
        """Append a paragraph."""
        self.add(tags.p(printable(text)))

    def links(self, targets: Mapping[str, str]) -> None:
        """Append links: text to path relative to the page. Appends nothing if there are none."""
        if targets:
            self.add(tags.nav(*(tags.a(text, href=link(path)) for text, path in targets.items())))

    def picture(self, path: str, alt: str) -> None:
        """Append a picture in its own width, or the window's if that is smaller."""
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
    """A relative URL of a path below the page's folder, whatever letters or bytes it is made of."""
    return quote(os.fsencode(path))


def _table(values: Mapping[str, object]) -> tags.html_tag:
    return tags.table(*(tags.tr(tags.td(printable(name)), tags.td(printable(value))) for name, value in values.items()))

"""Result pages: rows of captioned images that open from disk, on any width of screen."""

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

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 1400px; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .25rem; }
h3 { font-size: .95rem; margin: 1rem 0 .25rem; overflow-wrap: anywhere; font-weight: 600; }
.row { display: flex; flex-wrap: wrap; gap: .5rem; border-bottom: 1px solid var(--line); padding-bottom: .75rem; }
figure { margin: 0; flex: 0 1 var(--size); min-width: 96px; }
figure img { width: 100%; height: auto; display: block; border-radius: 4px; }
figcaption { font-size: .8rem; opacity: .75; overflow-wrap: anywhere; }
.wide { max-width: 100%; height: auto; background: white; border-radius: 4px; }
details { margin: .5rem 0; overflow-x: auto; } summary { cursor: pointer; }
table { border-collapse: collapse; } td, th { padding: .1rem .8rem .1rem 0; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; } nav { margin: 1rem 0; } nav a { margin-right: 1rem; }
.compare .pair { position: relative; } .compare .pair img + img { position: absolute; inset: 0; height: 100%;
clip-path: inset(0 0 0 var(--split, 50%)); } .compare input { width: 100%; margin: .25rem 0 0; }
@media (max-width: 600px) { figure { flex: 1 1 30%; } figure.compare { flex: 1 1 100%; } }
"""
MOVE_SPLIT = "this.closest('figure').style.setProperty('--split', this.value + '%')"


class Page:
    """An HTML page in `folder`, whose images lie below it."""

    def __init__(self, folder: Path, title: str, *, refresh_seconds: int = 0, image_size: int = 256) -> None:
        self.folder = folder
        self.document = dominate.document(title=printable(title))
        with self.document.head:
            tags.meta(charset="utf-8")
            tags.meta(name="viewport", content="width=device-width, initial-scale=1")
            if refresh_seconds:
                tags.meta(http_equiv="refresh", content=str(refresh_seconds))
            tags.style(raw(STYLE))
        self.document.body["style"] = f"--size: {image_size}px"
        self.add(tags.h1(printable(title)))

    def add(self, element: tags.html_tag) -> None:
        """Append any element; dominate escapes the text in it."""
        self.document.body.add(element)

    def heading(self, text: str) -> None:
        """Append a heading of a section."""
        self.add(tags.h2(printable(text)))

    def paragraph(self, text: str) -> None:
        """Append a paragraph."""
        self.add(tags.p(printable(text)))

    def links(self, targets: Mapping[str, str]) -> None:
        """Append links: text to path relative to the page. Nothing for none."""
        if targets:
            self.add(tags.nav(*(tags.a(text, href=link(path)) for text, path in targets.items())))

    def picture(self, path: str, alt: str) -> None:
        """Append a picture as wide as it is, or as the window."""
        self.add(tags.img(src=link(path), alt=alt, cls="wide"))

    def table(self, values: Mapping[str, object]) -> None:
        """Append a table of names and values."""
        self.add(_table(values))

    def folded_table(self, title: str, values: Mapping[str, object]) -> None:
        """Append a table of names and values that opens when its title is clicked."""
        self.add(tags.details(tags.summary(title), _table(values)))

    def row(self, title: str, images: Mapping[str, str], compare: tuple[str, str] | None = None) -> None:
        """Append a row of images: caption to path relative to the page.

        compare: captions of two images that are laid over one another first, with a slider that moves the border.
        """
        title = printable(title)
        self.add(tags.h3(title))
        row = tags.div(cls="row")
        if compare:
            row.add(_comparison(title, images, *compare))
        for caption, path in images.items():
            if caption not in (compare or ()):
                with row, tags.figure():
                    with tags.a(href=link(path)):
                        tags.img(src=link(path), alt=f"{caption} of {title}", loading="lazy")
                    tags.figcaption(caption)
        self.add(row)

    def write(self, name: str = "index.html") -> Path:
        """Write the page atomically; returns its path."""
        path = self.folder / name
        write_text(path, self.document.render())
        return path


def link(path: str) -> str:
    """A relative URL of a path below the page's folder, whatever letters or bytes it is made of."""
    return quote(os.fsencode(path))


def _table(values: Mapping[str, object]) -> tags.html_tag:
    return tags.table(*(tags.tr(tags.td(printable(name)), tags.td(printable(value))) for name, value in values.items()))


def _comparison(title: str, images: Mapping[str, str], before: str, after: str) -> tags.html_tag:
    """Two images over one another: left of the slider's place the first is seen, right of it the second."""
    pair = tags.div(cls="pair")
    for caption in (before, after):
        pair.add(tags.img(src=link(images[caption]), alt=f"{caption} of {title}", loading="lazy"))
    slider = tags.input_(type="range", min=0, max=100, value=50, oninput=MOVE_SPLIT)
    slider["aria-label"] = f"border between {before} and {after} of {title}"
    caption_line = tags.figcaption(
        tags.a(before, href=link(images[before])), " | ", tags.a(after, href=link(images[after]))
    )
    return tags.figure(pair, slider, caption_line, cls="compare")

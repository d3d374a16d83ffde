"""Result pages: rows of captioned images that open from disk, on any width of screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import dominate
from dominate import tags
from dominate.util import raw

from util.files import write_text

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 1400px; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .25rem; } h3 { font-size: .95rem; margin: 1rem 0
.25rem; } h3 { overflow-wrap: anywhere; font-weight: 600; } .row { display: flex; flex-wrap: wrap; gap: .5rem;
border-bottom: 1px solid var(--line); padding-bottom: .75rem; } figure { margin: 0; flex: 0 1 var(--size); min-width:
96px; } figure img { width: 100%; height: auto; display: block; border-radius: 4px; } figcaption { font-size: .8rem;
opacity: .75; overflow-wrap: anywhere; } @media (max-width: 600px) { figure { flex: 1 1 30%; } }
"""


class Page:
    """An HTML page in `folder`, whose images lie below it."""

    def __init__(self, folder: Path, title: str, *, refresh_seconds: int = 0, image_size: int = 256) -> None:
        self.folder = folder
        self.document = dominate.document(title=title)
        with self.document.head:
            tags.meta(charset="utf-8")
            tags.meta(name="viewport", content="width=device-width, initial-scale=1")
            if refresh_seconds:
                tags.meta(http_equiv="refresh", content=str(refresh_seconds))
            tags.style(raw(STYLE))
        self.document.body["style"] = f"--size: {image_size}px"
        self.add(tags.h1(title))

    def add(self, element: tags.html_tag) -> None:
        """Append any element; dominate escapes the text in it."""
        self.document.body.add(element)

    def heading(self, text: str) -> None:
        """Append a heading of a section."""
        self.add(tags.h2(text))

    def paragraph(self, text: str) -> None:
        """Append a paragraph."""
        self.add(tags.p(text))

    def row(self, title: str, images: Mapping[str, str]) -> None:
        """Append a row of images: caption to path relative to the page."""
        self.add(tags.h3(title))
        row = tags.div(cls="row")
        for caption, path in images.items():
            with row, tags.figure():
                with tags.a(href=quote(path)):
                    tags.img(src=quote(path), alt=f"{caption} of {title}", loading="lazy")
                tags.figcaption(caption)
        self.add(row)

    def write(self, name: str = "index.html") -> Path:
        """Write the page atomically; returns its path."""
        path = self.folder / name
        write_text(path, self.document.render())
        return path

"""Strategies for hostile input, and how many cases of it are tried."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from util.html import ASSETS

NIGHTLY = 20
both_settings = pytest.mark.parametrize(
    "scale", [pytest.param(1 / 5, id="default"), pytest.param(NIGHTLY, id="nightly", marks=pytest.mark.slow)]
)
"""A test of a fifth of so many cases, and the same of NIGHTLY times as many among the slow tests."""

CASES: dict[str, int] = {}
"""Cases tried in this session, by target; shown at its end."""


def fuzz(cases: float, strategy: st.SearchStrategy[Any], check: Callable[[Any], object]) -> None:
    """Call `check` for so many drawn cases; a failing one is made as small as can be, and shown.

    The cases of the default setting are the same each time, lest a change is blamed for what it has not done.
    """
    is_default = cases < 1000 // NIGHTLY * 10

    @settings(
        max_examples=round(cases),
        deadline=None,
        database=None,
        derandomize=is_default,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(case: Any) -> None:
        check(case)

    run()


NUMBERS = [0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@st.composite
def mutated(draw: st.DrawFn, corpus: Sequence[bytes]) -> bytes:
    """One of the files, with up to eight changes: bits turned, numbers written over, parts cut, doubled, spliced in."""
    content = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(0, 8))):
        length = len(content)
        # Headers are at the beginning, in archives also at the end: there most changes matter most.
        place = draw(
            st.one_of(
                st.integers(0, min(length, 200)), st.integers(0, length), st.integers(max(0, length - 200), length)
            )
        )
        kind = draw(st.sampled_from(["bit", "number", "bytes", "cut", "drop", "double", "splice"]))
        end = min(length, place + draw(st.integers(1, 64)))
        if kind == "bit" and place < length:
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "number":
            form = draw(st.sampled_from(["<B", "<H", ">H", "<I", ">I"]))
            number = draw(st.sampled_from(NUMBERS)) & ((1 << 8 * struct.calcsize(form)) - 1)
            content[place : place + struct.calcsize(form)] = struct.pack(form, number)
        elif kind == "bytes":
            content[place:end] = draw(st.binary(max_size=16))
        elif kind == "cut":
            del content[place:]
        elif kind == "drop":
            del content[place:end]
        elif kind == "double":
            content[place:place] = content[place:end] * draw(st.integers(1, 40))
        elif kind == "splice":
            other = draw(st.sampled_from(corpus))
            start = draw(st.integers(0, len(other)))
            content[place:end] = other[start : start + draw(st.integers(0, 4096))]
    return bytes(content)


class PageCheck(HTMLParser):
    """Refuses a page that has anything in it that the project does not write itself."""

    VOID = {"meta", "img", "input", "br", "hr", "rect"}
    TAGS = {
        "html",
        "head",
        "title",
        "meta",
        "style",
        "body",
        "h1",
        "h2",
        "h3",
        "p",
        "nav",
        "a",
        "img",
        "div",
        "figure",
        "figcaption",
        "table",
        "tbody",
        "tr",
        "td",
        "th",
        "details",
        "summary",
        "pre",
        "input",
        "svg",
        "text",
        "rect",
        "label",
        "select",
        "option",
        "progress",
        "script",
        "section",
        "small",
        "span",
        "strong",
    }
    SCRIPTS = {(ASSETS / "gallery.js").read_text()}

    def __init__(self, page: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.folder, self.text = page.parent, ""
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in self.TAGS, (tag, attributes)
        for name, value in attributes:
            assert not name.startswith("on") and (tag, name) != ("script", "src"), (tag, name, value)
            assert name not in ("srcdoc", "formaction", "action", "ping"), (tag, name, value)
            if name in ("href", "src"):
                self._check_link(value or "")

    def _check_link(self, link: str) -> None:
        self.links.append(link)
        if link.startswith("data:image/jpeg;base64,"):
            return
        path = unquote_to_bytes(link).decode("utf-8", "surrogateescape")
        assert ":" not in link and "#" not in link and "?" not in link and not link.startswith("/"), link
        target = self.folder / path
        assert target.resolve().is_relative_to(self.folder.resolve()) and target.is_file(), link

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.cdata_elem:
            assert data in self.SCRIPTS, data
            return
        self.text += data

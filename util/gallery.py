"""HTML gallery of faces: cards with a photo beside its translation, which can be searched, sorted and enlarged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dominate import tags

from util.html import Page, link
from util.text import printable

SCRIPT = "gallery.js"
KEYS = (
    "Keys: / to search, arrows and Enter to open a face, 1 and 2 to change the direction, r for reconstructions, space "
    "to show the photo"
)
OLDER, YOUNGER = "young to old", "old to young"


def direction_titles(*, is_reversed: bool) -> dict[str, str]:
    """Return the titles of the translations of domains "A" and "B". is_reversed: whether A holds the old faces."""
    return {"A": YOUNGER, "B": OLDER} if is_reversed else {"A": OLDER, "B": YOUNGER}


@dataclass(frozen=True)
class Card:
    """One face in the gallery.

    images: maps labels to paths relative to the page: the photo, its translation, and further images, which are folded.
    size: width and height of each image in pixels. older: whether the translation should look older or younger. years:
    the measured change in that direction (negative if it went the wrong way); None without an age estimator. caption:
    shown instead of the name.
    """

    name: str
    images: Mapping[str, str]
    size: tuple[int, int]
    older: bool = True
    years: float | None = None
    caption: str = ""


class Section(NamedTuple):
    """The faces of one direction."""

    title: str
    cards: Sequence[Card]


def add_cards(page: Page, cards: Sequence[Card]) -> None:
    """Append a grid of faces."""
    page.scripts[SCRIPT] = None
    page.add(_grid(cards))


def add_gallery(page: Page, sections: Mapping[str, Section]) -> None:
    """Append all faces grouped by the domain of their photos ("A" or "B"), with tabs, search and sorting.

    Faces are sorted by the change in years, largest first, if it is known for all; otherwise they keep their order.
    """
    page.scripts[SCRIPT] = None
    known = all(card.years is not None for section in sections.values() for card in section.cards)
    gallery = tags.div(_tools(known))
    if len(sections) > 1:
        for place, (key, section) in enumerate(sections.items()):
            choice = tags.input_(type="radio", name="direction", id=f"show-{key}", cls="choice", checked=place == 0)
            gallery.add(choice, tags.label(f"{section.title} ({len(section.cards)})", html_for=f"show-{key}"))
    if any(len(card.images) > 2 for section in sections.values() for card in section.cards):
        gallery.add(
            tags.input_(type="checkbox", id="show-more", cls="choice", autocomplete="off"),
            tags.label("reconstructions", html_for="show-more"),
        )
    for key, section in sections.items():
        cards = sorted(section.cards, key=lambda card: -(card.years or 0.0)) if known else section.cards
        gallery.add(tags.section(_grid(cards), id=f"faces-{key}"))
    page.add(gallery)


def _tools(known: bool) -> tags.html_tag:
    """Create the search field, and the sort menu if the change in years is known."""
    tools = tags.div(
        tags.input_(
            type="search", id="search", placeholder="search by name", autocomplete="off", aria_label="search by name"
        ),
        cls="tools",
    )
    if known:
        orders = {"most": "most years first", "least": "fewest years first", "name": "by name"}
        options = [tags.option(text, value=value) for value, text in orders.items()]
        tools.add(tags.select(*options, id="order", autocomplete="off", aria_label="order"))
    tools.add(tags.small(id="count"), tags.small(KEYS))
    return tools


def _grid(cards: Sequence[Card]) -> tags.html_tag:
    return tags.div(*map(_card, cards), cls="faces")


def _card(card: Card) -> tags.html_tag:
    images = [_image(card, label, path) for label, path in card.images.items()]
    name = printable(card.name)
    caption = tags.figcaption(tags.span(printable(card.caption or card.name), title=name))
    figure = tags.figure(
        tags.a(tags.div(*images[:2], cls="images"), href=link(list(card.images.values())[1])),
        cls="card",
        data_name=name,
    )
    if len(images) > 2:
        figure.add(tags.div(*images[2:], cls="images more"))
    if card.years is not None:
        change = card.years if card.older else -card.years
        caption.add(tags.strong(f"{change:+.1f} years".replace("-", "\N{MINUS SIGN}")))
        figure["data-years"] = f"{card.years:.2f}"
    figure.add(caption)
    return figure


def _image(card: Card, label: str, path: str) -> tags.html_tag:
    width, height = card.size
    return tags.img(
        src=link(path),
        alt=f"{label} of {printable(card.name)}",
        data_label=label,
        loading="lazy",
        width=width,
        height=height,
    )

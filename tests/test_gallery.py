"""The page of faces in a real browser: tabs, search, order, keys, the large view."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from util.gallery import Card, Section, add_gallery, direction_titles
from util.html import Page

pytestmark = browser.needs_browser
FACES = 500


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FACES faces of A and three of B; the years gained differ, and are not in the order of the names."""
    folder = tmp_path_factory.mktemp("gallery")
    for label in ("real", "fake", "rec"):
        Image.new("RGB", (64, 64), {"real": "navy", "fake": "teal", "rec": "olive"}[label]).save(
            folder / f"{label}.png"
        )

    def cards(count: int, *, older: bool) -> list[Card]:
        images = {label: f"{label}.png" for label in ("real", "fake", "rec")}
        return [Card(f"face {n}.jpg", images, (64, 64), older, (n * 7 % count) - 1.0) for n in range(count)]

    written = Page(folder, "faces")
    titles = direction_titles(is_reversed=False)
    add_gallery(
        written, {"A": Section(titles["A"], cards(FACES, older=True)), "B": Section(titles["B"], cards(3, older=False))}
    )
    return written.write()


@pytest.fixture(scope="module")
def window(page: Path) -> Iterator[webdriver.Chrome]:
    with browser.opened(page.as_uri(), 1400) as driver:
        yield driver


@pytest.fixture
def driver(window: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    window.refresh()
    yield window
    assert browser.script_errors(window) == []


def press(driver: webdriver.Chrome, *keys: str) -> None:
    ActionChains(driver).send_keys(*keys).perform()


def names(driver: webdriver.Chrome, count: int = 3) -> list[str]:
    """The first faces that can be seen."""
    script = "return [...document.querySelectorAll('.card')].filter(c => c.offsetParent).map(c => c.dataset.name)"
    return driver.execute_script(script)[:count]


def test_faces_are_sorted_by_years_gained_and_by_name_if_asked(driver: webdriver.Chrome) -> None:
    captions = [card.text.split("\n")[-1] for card in driver.find_elements(By.CLASS_NAME, "card")[:3]]
    assert captions == ["+498.0 years", "+497.0 years", "+496.0 years"]
    order = Select(driver.find_element(By.ID, "order"))
    order.select_by_visible_text("fewest years first")
    assert names(driver, 1) == ["face 0.jpg"]
    order.select_by_visible_text("by name")
    assert names(driver) == ["face 0.jpg", "face 1.jpg", "face 2.jpg"]


def test_tabs_choose_the_direction_and_search_finds_names(driver: webdriver.Chrome) -> None:
    assert driver.find_element(By.ID, "count").text == "500 faces"
    press(driver, "/", "face 49")
    assert driver.find_element(By.ID, "count").text == "11 faces"
    assert all("face 49" in name for name in names(driver, 99))
    press(driver, Keys.ESCAPE, "2")
    assert driver.find_element(By.ID, "count").text == "0 faces"
    press(driver, "/", Keys.CONTROL, "a")
    driver.find_element(By.ID, "search").clear()
    driver.find_element(By.CSS_SELECTOR, "label[for=show-B]").click()
    assert driver.find_element(By.ID, "count").text == "3 faces"
    # Younger is the aim here: what gained a year looks a year younger.
    assert "\N{MINUS SIGN}1.0 years" in driver.find_element(By.ID, "faces-B").text


def test_reconstructions_are_folded_away(driver: webdriver.Chrome) -> None:
    reconstruction = driver.find_element(By.CSS_SELECTOR, ".more img")
    assert not reconstruction.is_displayed()
    press(driver, "r")
    assert reconstruction.is_displayed()
    press(driver, "r")
    assert not reconstruction.is_displayed()


def test_keys_and_pointer_compare_a_photo_with_its_translation(driver: webdriver.Chrome) -> None:
    first, second = names(driver, 2)
    press(driver, Keys.ARROW_RIGHT, Keys.ENTER)
    view = driver.find_element(By.TAG_NAME, "dialog")
    assert view.is_displayed() and first in view.text
    photo, translation = view.find_elements(By.CSS_SELECTOR, ".over img")
    assert photo.rect == translation.rect and photo.rect["width"] > 400
    ActionChains(driver).move_to_element_with_offset(photo, round(photo.rect["width"] / 4), 0).perform()
    assert float(view.find_element(By.TAG_NAME, "input").get_attribute("value")) == pytest.approx(75, abs=1)
    assert translation.value_of_css_property("clip-path").startswith("inset(0px 0px 0px 7")
    press(driver, Keys.ARROW_RIGHT)
    assert second in view.text
    press(driver, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert first not in view.text and second not in view.text
    press(driver, Keys.ESCAPE)
    assert not view.is_displayed()


@pytest.mark.parametrize("width", [1400, 400])
def test_it_fits_the_window(driver: webdriver.Chrome, width: int) -> None:
    browser.resize(driver, width)
    assert not browser.overflows(driver)
    tops = [card.rect["y"] for card in driver.find_elements(By.CLASS_NAME, "card")[:8]]
    assert tops.count(tops[0]) == {1400: 4, 400: 1}[width], "cards in the first row"
    driver.find_element(By.CSS_SELECTOR, ".card a").click()
    assert driver.find_element(By.TAG_NAME, "dialog").rect["width"] <= width and not browser.overflows(driver)


def test_it_shows_all_without_scripts_and_follows_the_dark_mode(page: Path) -> None:
    with browser.opened("about:blank", 1400) as driver:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
        driver.get(page.as_uri())
        assert not driver.find_element(By.CLASS_NAME, "tools").is_displayed(), "nothing that does not work"
        assert driver.find_element(By.ID, "faces-A").is_displayed()
        driver.find_element(By.CSS_SELECTOR, "label[for=show-B]").click()
        assert driver.find_element(By.ID, "faces-B").is_displayed()
        assert not driver.find_element(By.ID, "faces-A").is_displayed()
        colour = driver.find_element(By.TAG_NAME, "h1").value_of_css_property("color")
        assert colour in ("rgba(255, 255, 255, 1)", "rgb(255, 255, 255)")

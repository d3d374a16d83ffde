"""Pages in a real browser: headless Chromium, driven by Selenium."""

from __future__ import annotations

import atexit
import contextlib
import shutil
from collections.abc import Iterator
from functools import cache

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "disable-dev-shm-usage",
)

needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")


@cache
def started(*flags: str) -> webdriver.Chrome:
    """One browser for all tests that need no further flags."""
    options = Options()
    for flag in (*FLAGS, *flags):
        options.add_argument(f"--{flag}")
    options.binary_location = CHROMIUM or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    atexit.register(driver.quit)
    return driver


def resize(driver: webdriver.Chrome, width: int, height: int = 900) -> None:
    """Make the window so many pixels wide, however narrow that is."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@contextlib.contextmanager
def opened(url: str, width: int = 1200, *flags: str) -> Iterator[webdriver.Chrome]:
    """A new tab of a width in pixels with the page in it. flags: of the browser, beside FLAGS."""
    driver = started(*flags)
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        driver.get_log("browser")  # what an earlier page complained of
        resize(driver, width)
        driver.get(url)
        yield driver
    finally:
        driver.close()
        driver.switch_to.window(first)


def broken_images(driver: webdriver.Chrome) -> list[str]:
    """The images that did not load, after all were asked for."""
    driver.execute_script("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    driver.set_script_timeout(30)
    return driver.execute_async_script(
        """
        const done = arguments[0], images = [...document.querySelectorAll('img')];
        Promise.all(images.map(image => image.decode().catch(() => 0)))
            .then(() => done(images.filter(image => !image.naturalWidth).map(image => image.src)));
        """
    )


def script_errors(driver: webdriver.Chrome) -> list[str]:
    """What the browser's console complained of."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def overflows(driver: webdriver.Chrome) -> bool:
    """Whether the page is wider than its window."""
    return driver.execute_script("return document.documentElement.scrollWidth > window.innerWidth")

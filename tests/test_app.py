"""The page of app.py as visitors meet it: in a browser, fifty at once, with files that are no photos, leaving early."""

from __future__ import annotations

import os
import re
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import browser
import numpy as np
import pytest
from PIL import Image
from portrait import astronaut
from processes import ENVIRONMENT, ROOT, start, wait_until
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from small_runs import make_run

gradio_client = pytest.importorskip("gradio_client", reason="needs pip install -r requirements-app.txt")


class Page:
    """A running app.py."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        run = make_run(folder / "checkpoints")
        self.url, self.stored = f"http://127.0.0.1:{port}", folder / "stored"
        self.stored.mkdir()
        self.log = (folder / "log.txt").open("w+")
        words = ["--name", run.name, "--checkpoints_dir", run.parent, "--port", port, "--most_megabytes", 4]
        words += ["--most_megapixels", 10]
        # Gradio notices at its next heartbeat that a visitor has left: after 15 s by default
        variables = {"TMPDIR": str(self.stored), "GRADIO_HEARTBEAT_INTERVAL": "1"}
        self.process = start("app.py", *map(str, words), environment={**ENVIRONMENT, **variables}, output=self.log)
        wait_until(self.answers)

    def answers(self) -> bool:
        assert self.process.poll() is None, Path(self.log.name).read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(self.url.rpartition(":")[2]))) == 0

    def status(self, path: str) -> int:
        try:
            return urllib.request.urlopen(f"{self.url}/{path}", timeout=60).status
        except urllib.error.HTTPError as error:
            return error.code

    def files(self) -> list[Path]:
        """What is stored of visitors; Gradio's own notes are left out. Folders may vanish while they are listed, which
        Path.rglob does not survive."""
        paths = [Path(folder, name) for folder, _, names in os.walk(self.stored) for name in names]
        return [path for path in paths if path.suffix]

    def memory(self) -> int:
        """What the process occupies, in MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) // 1024  # type: ignore[index]

    def visitor(self) -> gradio_client.Client:
        return gradio_client.Client(self.url, verbose=False, httpx_kwargs={"timeout": 300})


def open_photo(visitor: gradio_client.Client, photo: Path) -> tuple:
    return visitor.predict(gradio_client.handle_file(photo), 1.0, api_name="/open")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    page = Page(tmp_path_factory.mktemp("app"))
    yield page
    page.process.send_signal(signal.SIGTERM)
    page.process.wait(60)
    assert page.files() == [], "nothing is kept"
    assert "Traceback" not in Path(page.log.name).read_text()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """one.jpg, two.jpg with two faces, which is a PNG file in truth, and files that are no photos."""
    folder = tmp_path_factory.mktemp("photos")
    one = astronaut().crop((100, 0, 356, 256))
    one.save(folder / "one.jpg", quality=95)
    two = Image.new("RGB", (600, 320), "grey")
    two.paste(one, (20, 20))
    two.paste(one.resize((240, 240)), (330, 40))
    two.save(folder / "two.jpg", "PNG")
    (folder / "empty.jpg").touch()
    (folder / "corrupt.jpg").write_bytes((folder / "one.jpg").read_bytes()[:2000])
    (folder / "text.png").write_text("no photo")
    (folder / "large.jpg").write_bytes((folder / "one.jpg").read_bytes() + bytes(5_000_000))
    Image.new("1", (30_000, 30_000)).save(folder / "bomb.png")
    Image.new("RGB", (64, 64), "white").save(folder / "nobody.jpg")
    return folder


def drop(driver: webdriver.Chrome, photo: Path) -> None:
    wait_until(lambda: driver.find_elements(By.CSS_SELECTOR, "#upload input[type=file]"))
    driver.find_element(By.CSS_SELECTOR, "#upload input[type=file]").send_keys(str(photo))


def after(driver: webdriver.Chrome) -> str:
    """The address of the image at the right of the slider."""
    return driver.execute_script("return [...document.querySelectorAll('#compared img')].map(i => i.src).join(' ')")


@browser.needs_browser
@pytest.mark.parametrize("width", [1400, 400])
def test_a_photo_is_dropped_and_aged(page: Page, photos: Path, width: int) -> None:
    with browser.opened(page.url, width) as driver:
        drop(driver, photos / "two.jpg")
        wait_until(lambda: "aged_" in after(driver))
        first = after(driver)
        slider = driver.find_element(By.CSS_SELECTOR, "#strength input[type=range]")
        move = "arguments[0].value = -1; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
        driver.execute_script(move, slider)
        wait_until(lambda: after(driver) != first)

        # The second face is left out by a click on it: it stays as it is.
        shown = after(driver)
        faces = driver.find_element(By.CSS_SELECTOR, "#faces img")
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", faces)
        displayed = min(faces.rect["width"] / 600, faces.rect["height"] / 320)  # the image is fitted into its box
        ActionChains(driver).move_to_element_with_offset(faces, round(displayed * 150), 0).click().perform()
        wait_until(lambda: after(driver) != shown)

        driver.execute_script("document.querySelector('#make_strip').click()")
        wait_until(lambda: driver.find_elements(By.CSS_SELECTOR, "#strip img"))
        driver.execute_script("document.querySelector('#save').click()")
        wait_until(lambda: driver.find_elements(By.CSS_SELECTOR, "#saved a[href]"))
        link = driver.find_element(By.CSS_SELECTOR, "#saved a[href]").get_attribute("href")
        with Image.open(urllib.request.urlopen(link)) as saved, Image.open(photos / "two.jpg") as photo:
            assert saved.size == photo.size and saved.format == photo.format
            change = np.abs(np.asarray(saved).astype(int) - np.asarray(photo)).max(axis=(0, 2))
        assert change[:300].max() > 0 and change[330:].max() == 0

        assert browser.broken_images(driver) == [] and not browser.overflows(driver)
        requested = driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [url for url in requested if not url.startswith(page.url)] == [], "works without the internet"
        assert browser.script_errors(driver) == []
    wait_until(lambda: not page.files())


@browser.needs_browser
def test_a_photo_is_taken_with_the_camera(page: Page, tmp_path: Path) -> None:
    astronaut().resize((480, 480)).save(video := tmp_path / "seen.mjpeg", format="JPEG", quality=95)
    camera = [f"use-fake-{part}-for-media-stream" for part in ("device", "ui")]
    with browser.opened(page.url, 400, *camera, f"use-file-for-fake-video-capture={video}") as driver:
        for control in ("button[aria-label*=camera]", "[title*=access] button", "button[aria-label='capture photo']"):
            wait_until(lambda control=control: driver.find_elements(By.CSS_SELECTOR, f"#upload {control}"))
            if "capture" in control:
                wait_until(lambda: driver.execute_script("return document.querySelector('#upload video').videoWidth"))
                assert driver.find_element(By.CSS_SELECTOR, "#upload video").rect["height"] > 300
            driver.find_element(By.CSS_SELECTOR, f"#upload {control}").click()
        wait_until(lambda: "before" in after(driver))
        taken = driver.find_element(By.CSS_SELECTOR, "#compared img").get_attribute("src")
        with Image.open(urllib.request.urlopen(taken)) as before, Image.open(video) as seen:
            mirrored = np.asarray(seen).astype(int)[:, ::-1]
            assert np.abs(np.asarray(before) - mirrored).mean() < 20
        assert browser.script_errors(driver) == [] and not driver.find_elements(By.CSS_SELECTOR, ".error")
    wait_until(lambda: not page.files())


def test_other_files_of_the_machine_are_not_found(page: Page) -> None:
    for path in (
        "/etc/passwd",
        str(ROOT / "app.py"),
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "http://example.com/x",
        str(page.stored),
    ):
        assert page.status(f"gradio_api/file={path}") == 404, path
        assert page.status(f"file={path}") == 404, path
    assert page.status("gradio_api/proxy=https://a.hf.space/x") == 404
    assert page.status("etc/passwd") == 404 and page.status("") == 200


def test_it_listens_on_this_machine_only(page: Page) -> None:
    port = page.url.rpartition(":")[2]
    listening = [
        line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
    ]
    assert [address for address in listening if int(address.split(":")[1], 16) == int(port)] == [
        f"0100007F:{int(port):04X}"
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.jpg", "cannot be read"),
        ("corrupt.jpg", "cannot be read"),
        ("text.png", "cannot be read"),
        ("bomb.png", "cannot be read"),
        ("large.jpg", "size"),
        ("nobody.jpg", "No face was found"),
    ],
)
def test_what_is_no_photo_is_refused_with_a_reason(page: Page, photos: Path, name: str, reason: str) -> None:
    visitor = page.visitor()
    with pytest.raises(Exception, match=reason):
        open_photo(visitor, photos / name)
    visitor.close()


@pytest.mark.parametrize("at_once", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_visitors_at_once_are_all_served(at_once: int, page: Page, photos: Path) -> None:
    visitors = [page.visitor() for _ in range(at_once)]
    open_photo(visitors[0], photos / "one.jpg")
    before = page.memory()
    with ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(lambda visitor: open_photo(visitor, photos / "one.jpg"), visitors))
        shown = list(pool.map(lambda visitor: visitor.predict(0.5, api_name="/show"), visitors))
    assert len(answers) == len(shown) == at_once and all(answers) and all(shown)
    assert page.memory() - before < 300, "MB"
    for visitor in visitors:
        visitor.close()
    wait_until(lambda: not page.files())


def test_a_visitor_may_leave_at_any_time(page: Page, photos: Path) -> None:
    leaving = page.visitor()
    leaving.submit(gradio_client.handle_file(photos / "one.jpg"), 1.0, api_name="/open")
    leaving.close()
    staying = page.visitor()
    assert open_photo(staying, photos / "one.jpg")
    staying.close()
    # An upload that nobody came back for may stay for a quarter of an hour; what was made of it does not.
    wait_until(lambda: not [path for path in page.files() if path.parent.name.startswith("session_")])


def test_the_page_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['gradio'] = None")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(tmp_path)}
    process = start("app.py", environment=environment)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2 and "pip install -r requirements-app.txt" in output

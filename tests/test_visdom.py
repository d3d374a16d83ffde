"""The visdom sink against real servers: present, late, killed and reborn, hanging."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import browser
import numpy as np
import pytest
import visdom
from processes import run, wait_until
from selenium.webdriver.common.by import By

from util.sinks import visdom as sink_module
from util.sinks.base import Moment
from util.sinks.loss_log import LossRecord
from util.sinks.visdom import VisdomSink

NAMES = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")


@pytest.fixture(scope="module", autouse=True)
def page_files() -> None:
    """The server ends at once where its page's files are missing and cannot be downloaded."""
    if not shutil.which("npm"):
        pytest.skip("needs npm, to bring the files of visdom's page")
    run("scripts/visdom_assets.py")


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(sink_module, "ANSWER_SECONDS", 2.0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """`python -m visdom.server` on a port of its own, remembering nothing."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder, self.environment = port, folder, "main"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "visdom.server", "-port", str(self.port), "-env_path", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: answers(self.port))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def window(self, name: str) -> dict:
        client = visdom.Visdom(port=self.port, use_incoming_socket=False, raise_exceptions=True)
        text = client.get_window_data(name, env=self.environment)
        return json.loads(text) if text else {}

    def curves(self) -> dict[str, tuple[list[float], list[float]]]:
        traces = self.window("run losses").get("content", {}).get("data", [])
        return {trace["name"]: (trace["x"], trace["y"]) for trace in traces}


@pytest.fixture(scope="module")
def long_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(free_port(), tmp_path_factory.mktemp("visdom"))
    yield server
    server.kill()


@pytest.fixture
def server(long_lived: Server, request: pytest.FixtureRequest) -> Server:
    """With an environment of the test's own."""
    long_lived.environment = request.node.name.replace("_", "-")
    return long_lived


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    server = Server(free_port(), tmp_path)
    yield server
    server.kill()


def sink_on(port: int, history: tuple[LossRecord, ...] = (), environment: str = "main") -> VisdomSink:
    return VisdomSink("http://localhost", port, environment, 3, "run", "lr: <0.0002>", history)


def moment(report: int) -> Moment:
    """The position after so many reports of a tenth of an epoch."""
    return Moment(1 + report // 10, 5, report % 10 * 10, 100, report * 10, 0.1, 0.0, 0.0002)


def losses(report: int) -> dict[str, float]:
    return {name: report + number / 10 for number, name in enumerate(NAMES)}


def feed(sink: VisdomSink, *reports: int) -> None:
    for report in reports:
        sink.scalars(moment(report), losses(report))


def whole(server: Server, reports: int) -> bool:
    """Whether the server has all eight curves with the reports 1 to `reports`, each once and in order."""
    expected = [moment(report).epochs_done for report in range(1, reports + 1)]
    curves = server.curves()
    return (
        set(curves) == set(NAMES)
        and all(
            np.allclose(x, expected) and np.allclose(y, [losses(report)[name] for report in range(1, reports + 1)])
            for name, (x, y) in curves.items()
            if len(x) == reports
        )
        and all(len(x) == reports for x, _ in curves.values())
    )


def test_curves_rate_options_and_images_arrive(server: Server) -> None:
    sink = sink_on(server.port, environment=server.environment)
    feed(sink, 1, 2, 3)
    images = {name: np.full((20, 20, 3), 40 * number, np.uint8) for number, name in enumerate(("real_A", "fake_B"))}
    sink.images(moment(3), images)
    feed(sink, 4)
    sink.close()
    assert whole(server, 4)
    assert server.window("run learning rate")["content"]["data"][0]["y"] == [0.0002] * 4
    assert "lr: &lt;0.0002&gt;" in server.window("run options")["content"]
    image = server.window("run images")
    assert image["type"] == "image" and image["content"]["src"].startswith("data:image/")
    assert image["title"] == "run: epoch 1, image 30"


def test_what_held_out_faces_score_has_a_window_that_goes_on(server: Server) -> None:
    before = LossRecord(moment(1).epochs_done, 0.0002, {"years_A": 1.5, "score": 1.0})
    sink = VisdomSink("http://localhost", server.port, server.environment, 3, "run", "", (), (before,))
    sink.measures(moment(2), {"years_A": 2.5, "score": 2.0})
    wait_until(lambda: server.window("run held-out faces"))
    sink.measures(moment(3), {"years_A": 3.5, "score": 3.0})
    sink.close()
    traces = {trace["name"]: trace for trace in server.window("run held-out faces")["content"]["data"]}
    assert traces["years_A"]["y"] == [1.5, 2.5, 3.5] and traces["score"]["y"] == [1.0, 2.0, 3.0]
    assert traces["score"]["x"] == pytest.approx([moment(report).epochs_done for report in (1, 2, 3)])


@browser.needs_browser
def test_a_plot_of_the_eight_losses_is_in_the_page(server: Server) -> None:
    sink = sink_on(server.port, environment=server.environment)
    feed(sink, 1, 2, 3)
    sink.images(moment(3), {"real_A": np.zeros((20, 20, 3), np.uint8)})
    sink.close()
    with browser.opened(f"http://localhost:{server.port}/env/{server.environment}") as driver:
        wait_until(lambda: len(driver.find_elements(By.CSS_SELECTOR, ".legendtext")) == 9)
        legends = {element.text for element in driver.find_elements(By.CSS_SELECTOR, ".legendtext")}
        assert legends == {*NAMES, "learning rate"}
        assert browser.broken_images(driver) == []


def test_a_continued_run_continues_its_curves(server: Server) -> None:
    history = tuple(LossRecord(moment(n).epochs_done, 0.0002, losses(n)) for n in (1, 2, 3))
    sink = sink_on(server.port, history, server.environment)
    feed(sink, 4, 5)
    sink.close()
    assert whole(server, 5)


def test_a_server_killed_and_started_again_has_the_whole_curves(mortal: Server) -> None:
    sink = sink_on(mortal.port)
    feed(sink, 1, 2, 3)
    wait_until(lambda: whole(mortal, 3))
    mortal.kill()
    feed(sink, 4, 5)
    time.sleep(1)
    mortal.start()
    wait_until(lambda: whole(mortal, 5))
    feed(sink, 6)
    wait_until(lambda: whole(mortal, 6))
    sink.close()


def test_without_a_server_one_line_says_how_to_start_one_and_a_late_one_gets_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    sink = sink_on(port)
    for report in range(1, 6):
        feed(sink, report)
        time.sleep(0.2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and "python -m visdom.server" in lines[0] and str(port) in lines[0]
    server = Server(port, tmp_path)
    try:
        wait_until(lambda: whole(server, 5))
    finally:
        sink.close()
        server.kill()
    assert capsys.readouterr().out == ""


def test_a_server_that_accepts_and_never_answers_slows_nothing() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        sink = sink_on(listener.getsockname()[1])
        started = time.monotonic()
        for report in range(1, 200):
            feed(sink, report)
            sink.images(moment(report), {"real_A": np.zeros((256, 256, 3), np.uint8)})
        reporting = time.monotonic() - started
        sink.close()
        closing = time.monotonic() - started - reporting
        assert reporting < 200 * sink_module.CLOSE_SECONDS / 4, "nobody waited for an answer"
        assert closing < 4 * sink_module.CLOSE_SECONDS

"""What is shown when, and what happens to a display that fails."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import browser
import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver.common.by import By

from scripts.plot_losses import read_csv_log
from util import visualizer as visualizer_module
from util.run.progress import Progress
from util.sinks.base import Moment, Sink
from util.sinks.console import ConsoleSink
from util.sinks.html import HtmlSink
from util.sinks.loss_log import CsvSink, LossLogSink, LossRecord
from util.terminal import CountedWork, format_duration
from util.visualizer import DisplayOptions, Visualizer


class Recorder(Sink):
    def __init__(self) -> None:
        self.reports: list[tuple[int, dict]] = []
        self.pictures: list[tuple[int, dict]] = []
        self.closed = False

    def scalars(self, moment: Moment, losses: dict) -> None:
        self.reports.append((moment.total_images, losses))

    def images(self, moment: Moment, images: dict) -> None:
        self.pictures.append((moment.total_images, images))

    def close(self) -> None:
        self.closed = True


class Failing(Recorder):
    def scalars(self, moment: Moment, losses: dict) -> None:
        super().scalars(moment, losses)
        raise OSError("no space left")


def show(visualizer: Visualizer, progress: Progress, images: int) -> None:
    progress.advance(images)
    visualizer.step(
        progress,
        images,
        {"G_A": torch.tensor(0.25), "D_A": torch.tensor(2.0)},
        {"fake_B": torch.full((images, 3, 4, 5), 1.0)},
        learning_rate=0.1,
        seconds_waited=0.0,
    )


@pytest.mark.parametrize("batch", [1, 3, 7, 16, 250])
def test_no_batch_size_skips_a_report(batch: int) -> None:
    recorder, progress = Recorder(), Progress(images_per_epoch=10_000, last_epoch=1)
    visualizer = Visualizer(DisplayOptions(print_freq=100), [recorder], {recorder: 400})
    while progress.total_images < 2000:
        show(visualizer, progress, batch)
    expected = min(2000 // 100, -(-2000 // batch))
    assert abs(len(recorder.reports) - expected) <= 1
    assert len(recorder.pictures) == 5
    assert all(total % 100 < batch for total, _ in recorder.reports)
    assert recorder.reports[0][1] == {"G_A": 0.25, "D_A": 2.0}
    assert recorder.pictures[0][1]["fake_B"].shape == (4, 5, 3) and recorder.pictures[0][1]["fake_B"].min() == 255


@pytest.mark.parametrize(("rest", "tries"), [(visualizer_module.REST_SECONDS, 1), (0.0, 5)])
def test_a_failing_display_rests_is_told_of_once_and_the_others_go_on(
    rest: float, tries: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(visualizer_module, "REST_SECONDS", rest)
    failing, recorder, progress = Failing(), Recorder(), Progress(100, 1)
    with Visualizer(DisplayOptions(print_freq=1), [failing, recorder], {}) as visualizer:
        for _ in range(5):
            show(visualizer, progress, 1)
    assert len(recorder.reports) == 5 and len(failing.reports) == tries and recorder.closed
    assert capsys.readouterr().err.count("no space left") == 1


MOMENT = Moment(2, 4, 50, 100, 150, 0.5, 0.1, 0.0002, 3 * 2**29)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_console_is_one_line_on_a_terminal_and_lines_in_a_file() -> None:
    for stream in (io.StringIO(), Terminal()):
        sink = ConsoleSink(stream)
        for _ in range(30):
            sink.tick(MOMENT)
        sink.scalars(MOMENT, {"G_A": 0.123456})
        sink.say("a note")
        sink.close()
        text = stream.getvalue()
        for expected in ("epoch 2/4 50/100", "2.00 images/s", "20% for data", "1.5 GiB", "2:05 left"):
            assert expected in text, expected
        if stream.isatty():
            assert text.count("\n") == 1 and "━" in text
        else:
            assert text.count("\n") == 2 and "\r" not in text and "G_A 0.123" in text


def test_counted_work_says_every_tenth_in_a_file() -> None:
    stream = io.StringIO()
    with CountedWork("reading", 1000, "files", stream) as work:
        for _ in range(1000):
            work.advance()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10 and lines[4].startswith("reading: 500/1000 files") and "1000 files in" in lines[-1]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (3600, "1:00:00"), (93784, "1 d 02:03:04")])
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_the_csv_drops_what_lies_beyond_a_restored_position(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path, Progress(100, 4))
    for images in (10, 20, 30):
        sink.scalars(MOMENT._replace(total_images=images, epoch_images=images), {"G_A": images / 7})
    resumed = CsvSink(tmp_path, Progress(100, 4, total_images=20))
    assert [record.losses for record in resumed.history] == [{"G_A": 10 / 7}, {"G_A": 20 / 7}]
    resumed.scalars(MOMENT._replace(total_images=30), {"G_A": 5.0})
    rows = list(csv.DictReader((tmp_path / "loss_log.csv").open()))
    assert [(row["total_images"], float(row["G_A"])) for row in rows] == [("10", 10 / 7), ("20", 20 / 7), ("30", 5.0)]


def test_a_row_cut_off_by_a_crash_is_dropped(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path, Progress(100, 4))
    sink.scalars(MOMENT._replace(total_images=10), {"G_A": 1.0, "D_A": 2.0})
    with (tmp_path / "loss_log.csv").open("a") as file:
        file.write("1,20,20")
    assert len(CsvSink(tmp_path, Progress(100, 4, total_images=99)).history) == 1


def test_a_restart_at_an_earlier_epoch_keeps_every_report_and_divides_the_attempts(tmp_path: Path) -> None:
    first = Progress(10, 4)
    logs = LossLogSink(tmp_path, first), CsvSink(tmp_path, first)
    for epoch in (1, 2, 3):
        for log in logs:
            log.scalars(
                MOMENT._replace(epoch=epoch, epoch_images=10, images_per_epoch=10, total_images=10 * epoch),
                {"G_A": float(epoch), "idt_A": 0.5},
            )
    again = Progress(10, 4, epoch=4, total_images=30)
    again.begin_again(2)
    logs = LossLogSink(tmp_path, again), CsvSink(tmp_path, again)
    assert [record.epochs for record in logs[1].history] == [1.0]
    for log in logs:
        log.scalars(
            MOMENT._replace(epoch=2, epoch_images=10, images_per_epoch=10, total_images=20), {"G_A": 7.0, "D_A": 1.0}
        )
    # The restarted run is killed, and goes on exactly from its own state: its reports alone come again.
    resumed = Progress(10, 4, epoch=2, total_images=10, restarts=1)
    LossLogSink(tmp_path, resumed)
    assert [record.losses["G_A"] for record in CsvSink(tmp_path, resumed).history] == [1.0]
    resumed.epoch, resumed.total_images = 3, 20
    sink = CsvSink(tmp_path, resumed)
    sink.scalars(MOMENT._replace(epoch=2, epoch_images=10, images_per_epoch=10, total_images=20), {"G_A": 8.0})
    rows = [
        (row["restart"], row["total_images"], row["G_A"]) for row in csv.DictReader((tmp_path / "loss_log.csv").open())
    ]
    assert rows == [("0", "10", "1.0"), ("0", "20", "2.0"), ("0", "30", "3.0"), ("1", "20", "8.0")]
    text = (tmp_path / "loss_log.txt").read_text()
    assert text.count("G_A: ") == 3 and text.count("= Restart 1 at epoch 2 =") == 1 and "G_A: 3.000" in text
    curves = read_csv_log((tmp_path / "loss_log.csv").read_text())
    assert curves["G_A"].epochs.tolist() == [1, 2] and curves["G_A"].values.tolist() == [1, 8]


def test_losses_that_an_earlier_attempt_did_not_have_get_columns_of_their_own(tmp_path: Path) -> None:
    CsvSink(tmp_path, Progress(10, 4)).scalars(MOMENT._replace(total_images=10), {"G_A": 1.0, "idt_A": 0.5})
    CsvSink(tmp_path, Progress(10, 4, total_images=10)).scalars(MOMENT._replace(total_images=20), {"G_A": 2.0, "x": 3})
    rows = list(csv.DictReader((tmp_path / "loss_log.csv").open()))
    assert [(row["G_A"], row["idt_A"], row["x"]) for row in rows] == [("1.0", "0.5", ""), ("2.0", "", "3")]
    assert np.isnan(CsvSink(tmp_path, Progress(10, 4, total_images=20)).history[0].losses["x"])


FACES = {domain: [(np.full((8, 8, 3), 50, np.uint8), np.full((8, 8, 3), 99, np.uint8))] * 2 for domain in "AB"}


def test_the_training_page_is_newest_first_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    HtmlSink(tmp_path, "run", translate=lambda: FACES).images(MOMENT._replace(epoch=1), {})
    sink = HtmlSink(tmp_path, "run", translate=lambda: FACES, checkpoint=lambda: "snapshots/7")
    sink.images(MOMENT._replace(epoch=2), {})
    page = (tmp_path / "web" / "index.html").read_text()
    assert page.index("epoch 2<") < page.index("epoch 1<") and page.count("<img") == 12
    assert 'http-equiv="refresh"' in page and "2:05 left" in page and "last checkpoint: snapshots/7" in page
    sink.close()
    page = (tmp_path / "web" / "index.html").read_text()
    assert 'http-equiv="refresh"' not in page and "2:05 left" not in page, "a finished run's page stands still"


def test_the_first_step_brings_the_page_and_the_first_report_its_faces(tmp_path: Path) -> None:
    sink = HtmlSink(tmp_path, "run", translate=lambda: FACES)
    sink.tick(MOMENT)
    assert "epoch 2 of 4" in (tmp_path / "web" / "index.html").read_text()
    assert not (tmp_path / "web" / "images").exists()
    stopped = HtmlSink(tmp_path / "stopped", "run", translate=lambda: FACES)
    stopped.tick(MOMENT)
    stopped.tick(MOMENT._replace(epoch_images=51))
    stopped.close()
    assert "photo 51 of 100" in (tmp_path / "stopped" / "web" / "index.html").read_text()
    assert (tmp_path / "stopped" / "web" / "images" / "epoch002_B1.png").exists()
    sink.scalars(MOMENT, {"G_A": 1.0})
    written = (tmp_path / "web" / "index.html").stat().st_mtime_ns
    sink.scalars(MOMENT, {"G_A": 1.0})
    assert (tmp_path / "web" / "index.html").stat().st_mtime_ns == written, "reports may come many times a second"
    assert (tmp_path / "web" / "images" / "epoch002_B1.png").exists()


@browser.needs_browser
def test_a_long_run_has_a_page_of_bounded_size_with_curves_and_options(tmp_path: Path) -> None:
    history = [LossRecord(n / 10, 2e-4, {"G_A": 1 / n, "G_B": 0.5}) for n in range(1, 20)]
    (tmp_path / "web" / "images").mkdir(parents=True)
    for epoch in range(1, 300):
        for name in ("A0", "B0"):
            Image.new("RGB", (8, 8)).save(tmp_path / "web" / "images" / f"epoch{epoch:03d}_{name}.png")
    sink = HtmlSink(tmp_path, "run", options={"lr": "<0.0002>"}, history=history, translate=lambda: FACES)
    sink.images(MOMENT._replace(epoch=300), {})
    sink.close()
    with browser.opened((tmp_path / "web" / "index.html").as_uri(), 400) as driver:
        assert browser.broken_images(driver) == [] and not browser.overflows(driver)
        assert "lr" in driver.find_element(By.TAG_NAME, "details").get_attribute("textContent")
        assert driver.find_element(By.CSS_SELECTOR, "img.wide").get_attribute("src").endswith("losses.png")
        heads = driver.find_elements(By.CSS_SELECTOR, "section:first-child th")
        epochs = [int(head.get_attribute("textContent").removeprefix("epoch ")) for head in heads[1:]]
        assert epochs[:10] == list(range(300, 290, -1)) and epochs[-1] == 1 and len(epochs) == 60
        assert epochs == sorted(set(epochs), reverse=True)


def test_without_matplotlib_the_page_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    sink = HtmlSink(tmp_path, "run", history=[LossRecord(0.5, 2e-4, {"G_A": 1.0})])
    sink.images(MOMENT, {})
    assert "pip install matplotlib" in (tmp_path / "web" / "index.html").read_text()

"""Loss curves as pictures, of a run while it trains and of several runs."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import run

from util.curves import Curve, by_pairs, draw_curves, shorten, smooth

SCRIPT = "scripts/plot_losses.py"


def test_long_curves_are_averaged_and_short_ones_left() -> None:
    values = np.arange(10_000, dtype=float)
    short = shorten(Curve("G", values / 100, values), points=100)
    assert (
        len(short.values) == 100
        and short.values[0] == np.mean(values[:100])
        and short.epochs[-1] == pytest.approx(99.495)
    )
    same = shorten(Curve("G", values[:50], values[:50]), points=100)
    assert np.array_equal(same.values, values[:50])
    assert shorten(Curve("G", values[:3], np.array([1, np.nan, np.inf]))).values.tolist() == [1]


def test_smoothing_is_a_weighted_mean_from_the_first_value_on() -> None:
    assert smooth(np.full(20, 3.0), 0.9) == pytest.approx(np.full(20, 3.0))
    assert smooth(np.array([1.0, 2.0]), 0.5) == pytest.approx([1.0, (0.25 * 1 + 0.5 * 2) / 0.75])
    assert smooth(np.array([1.0, 5.0, 2.0]), 0.0).tolist() == [1.0, 5.0, 2.0]


def test_losses_that_differ_in_the_domain_share_a_panel() -> None:
    assert by_pairs(["D_A", "G_A", "D_B", "total"]) == {"D": ["D_A", "D_B"], "G": ["G_A"], "total": ["total"]}


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_pictures_have_something_in_them(tmp_path: Path, suffix: str) -> None:
    epochs = np.linspace(0, 5, 200)
    panels = {"G": [Curve("G_A <b>", epochs, np.sin(epochs)), Curve("G_B", epochs, np.cos(epochs))]}
    draw_curves(tmp_path / f"losses{suffix}", panels)
    if suffix == ".svg":
        text = (tmp_path / "losses.svg").read_text()
        ElementTree.fromstring(text)
        assert "<b>" not in text
    else:
        with Image.open(tmp_path / "losses.png") as image:
            assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20
    assert [path.name for path in tmp_path.iterdir()] == [f"losses{suffix}"]


def write_ours(folder: Path, reports: int) -> None:
    folder.mkdir(parents=True)
    with (folder / "loss_log.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "epoch",
                "epoch_images",
                "total_images",
                "epochs",
                "learning_rate",
                "seconds_per_image",
                "data_seconds_per_image",
                "D_A",
                "G_A",
            ]
        )
        for n in range(1, reports + 1):
            writer.writerow([1, n, n, n / reports, 2e-4, 0.1, 0.0, 1 / n, 0.5])
        file.write("1,99")


PUBLIC_LOGS = {
    "2018": "(epoch: 1, iters: 100, time: 0.243, data: 0.312) D_A: 0.358 G_A: 0.613 cycle_A: 3.131 \n",
    "2024": "(epoch: 1, iters: 100, time: 0.243, data: 0.312) , D_A: 0.358, G_A: 0.613, cycle_A: 3.131\n",
}


@pytest.mark.parametrize("kind", PUBLIC_LOGS)
def test_runs_of_both_code_bases_are_compared(tmp_path: Path, kind: str) -> None:
    write_ours(tmp_path / "runs" / "ours", 50)
    (tmp_path / "runs" / "theirs").mkdir()
    lines = "================ Training Loss (Mon Jun 11 16:55:37 2018) ================\n" + PUBLIC_LOGS[kind]
    (tmp_path / "runs" / "theirs" / "loss_log.txt").write_text(lines + lines.replace("epoch: 1", "epoch: 2"))
    output = run(SCRIPT, "ours", "theirs", "--checkpoints_dir", tmp_path / "runs", "--output", tmp_path / "both.svg")
    assert "D_A, G_A, cycle_A of ours, theirs" in output
    ElementTree.parse(tmp_path / "both.svg")
    run(SCRIPT, tmp_path / "runs" / "ours", "--output", tmp_path / "one.png", "--losses", "G_A")
    with Image.open(tmp_path / "one.png") as image:
        assert image.width > 300


def test_the_text_log_of_a_continued_run_has_each_position_once() -> None:
    from scripts.plot_losses import read_text_log

    line = "(epoch: {}, iters: {}, time: 0.1, data: 0.0) G_A: {} D_A: nan "
    reports = [(1, 50, 1), (1, 100, 2), (2, 50, 3), (2, 100, 4), (2, 50, 5), (2, 100, 6e-3)]
    losses = read_text_log("\n".join(line.format(*report) for report in reports))
    assert losses["G_A"].values.tolist() == [1, 2, 5, 0.006] and losses["G_A"].epochs.tolist() == [0.5, 1, 1.5, 2]
    assert np.isnan(losses["D_A"].values).all()


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    write_ours(tmp_path / "ours", 5)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "loss_log.txt").write_text("nothing")
    for words, complaint in (
        (["none"], "there is no loss_log.csv or loss_log.txt in"),
        (["empty"], "loss_log.txt contains no losses"),
        (["ours", "--losses", "G_X"], "--losses G_X: not in these logs, which contain D_A G_A"),
        (["ours", "--output", "x.bmp"], "expected a file name that ends in .png, .svg, .pdf"),
        (["ours", "--smoothing", "1"], "--smoothing 1.0"),
    ):
        output = run(SCRIPT, *words, "--checkpoints_dir", tmp_path, status=2)
        assert complaint in output and "Traceback" not in output

"""Hostile names and files given to the commands themselves, as processes; their pages in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hostile_corpus as corpus
import pytest
from browser import broken_images, needs_browser, opened, script_errors
from hostile import PageCheck
from jail import RAW
from processes import ENVIRONMENT, ROOT, TINY, run
from raw_collections import photo
from selenium.common.exceptions import NoAlertPresentException

FOLDER = "<script>alert(1)<\\b>\x1b[31m\n\u202e \udcff%41#"
NAMES = [
    "<img src=x onerror=alert(1)>",
    "'\"><svg onload=alert(1)>",
    "javascript:alert(1)",
    "\x1b]0;owned\x07",
    "a\nb",
    "\u202egpj",
    "\udcff",
    "%41?x#y",
    "مرحبا",
    "नमस्ते",
    "z" * 240,
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a training and a test of photos of hostile names, and what both printed."""
    folder = tmp_path_factory.mktemp("commands")
    faces = folder / FOLDER
    for domain in ("trainA", "trainB", "testA", "testB"):
        (faces / domain).mkdir(parents=True)
        for number, name in enumerate(NAMES if domain == "testA" else NAMES[:4]):
            (faces / domain / f"{name}.jpg").write_bytes(photo(number, 40, 40) if number != 3 else b"no photo")
    words = ["--dataroot", faces, "--checkpoints_dir", folder / "checkpoints", "--name", "run"]
    output = run("train.py", *words, *TINY.split(), "--n_epochs", "1", "--n_epochs_decay", "0", "--print_freq", "2")
    test_words = ["--results_dir", folder / "results", "--num_threads", "0", "--gpu_ids", "-1"]
    output += run("test.py", *words, *test_words)
    return folder, output


def test_consoles_get_no_control_characters(trained: tuple[Path, str]) -> None:
    folder, output = trained
    assert not RAW.search(output) and "Traceback" not in output
    assert "skipped " in output and "\\x1b[31m\\n\\u202e" in output
    assert "\\udcff" in (folder / "checkpoints" / "run" / "opt.txt").read_text()


PAGES = ["checkpoints/run/web/index.html", "results/run/latest_test/index.html"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_hold_nothing_but_what_the_project_writes(trained: tuple[Path, str], page: str) -> None:
    PageCheck(trained[0] / page)


@needs_browser
@pytest.mark.parametrize("page", PAGES)
def test_pages_run_nothing_and_show_all_images(trained: tuple[Path, str], page: str) -> None:
    with opened((trained[0] / page).as_uri()) as driver:
        with pytest.raises(NoAlertPresentException):
            _ = driver.switch_to.alert.text
        assert not broken_images(driver) and not script_errors(driver)
        assert not driver.find_elements("css selector", "svg, [onload], [onerror]")
        # Each photo of NAMES but the broken one, with what was made of it, and the three of testB.
        cards = driver.find_elements("css selector", ".card")
        assert "results" not in page or len(cards) == len(NAMES) - 1 + 3
        assert len(driver.find_elements("tag name", "script")) == ("results" in page)


def test_a_preparation_of_hostile_names(tmp_path: Path) -> None:
    for domain, shift in (("young", 0), ("old", 100)):
        (tmp_path / "in" / domain).mkdir(parents=True)
        for number, name in enumerate([*NAMES[:7], *"uvwxyz"]):
            (tmp_path / "in" / domain / f"{name}.jpg").write_bytes(photo(number + shift, 200, 200))
    words = ["--input", tmp_path / "in", "--output", tmp_path / "out", "--size", "32", "--processes", "1"]
    output = run("scripts/prepare_dataset.py", "folder", *words)
    assert not RAW.search(output)
    PageCheck(tmp_path / "out" / "report.html")
    made = [path.name for path in (tmp_path / "out").rglob("*.jpg")]
    assert len(made) == 26 and all(name.isprintable() and "<" not in name for name in made)


def test_a_console_that_lacks_letters_shows_their_numbers(tmp_path: Path) -> None:
    """A UnicodeEncodeError came out of the first name that the console's encoding lacks."""
    archive = tmp_path / "Жанна.zip"
    archive.write_bytes(corpus.zip_of(corpus.PHOTOS))
    ended = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "unzip_datasets.py"), str(archive), "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"},
    )
    assert ended.returncode == 0 and "\\u0416" in ended.stdout, ended.stderr


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX systems alone")
def test_archives_and_folders_whose_names_are_no_text(tmp_path: Path) -> None:
    archive = tmp_path / "\udcff\x1b[31m.zip"
    archive.write_bytes(b"no archive")
    output = run("scripts/unzip_datasets.py", archive, "--output", tmp_path / "out", status=2)
    assert "\\udcff\\x1b[31m.zip cannot be read as an archive" in output and not RAW.search(output)

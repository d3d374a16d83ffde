"""What test.py leaves: the results of one test, whole, and what becomes of them when something goes wrong."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from processes import ROOT, tree
from small_runs import make_run

from evaluation.folder_source import FolderSource
from util.errors import UserError, told_in_one_line
from util.files import atomic_path
from util.staging import staged

Command = Callable[..., ModuleType]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """test.py in this process, on an untrained run and the photos in tmp_path/photos."""
    make_run(tmp_path / "checkpoints", netG="resnet_1blocks", ngf=4, crop_size=16)
    spec = importlib.util.spec_from_file_location("command_test", ROOT / "test.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(*words: str | Path, photos: str = "") -> ModuleType:
        folder = tmp_path / "photos"
        for domain in "AB":
            (folder / f"test{domain}").mkdir(parents=True, exist_ok=True)
            for path in (folder / f"test{domain}").iterdir():
                path.unlink()
            for photo in photos:
                pixels = np.full((16, 16, 3), ord(photo), np.uint8)
                Image.fromarray(pixels).save(folder / f"test{domain}" / f"{photo}.png")
        argv = [
            "test.py",
            "--dataroot",
            folder,
            "--name",
            "run",
            "--checkpoints_dir",
            tmp_path / "checkpoints",
            "--results_dir",
            tmp_path / "results",
            *"--gpu_ids -1 --num_threads 0".split(),
            *words,
        ]
        monkeypatch.setattr(sys, "argv", list(map(str, argv)))
        with told_in_one_line("test.py", interrupted="results of an earlier test are as they were"):
            module.main()
        return module

    return call


def test_results_are_those_of_the_last_test_and_what_the_page_shows(command: Command, tmp_path: Path) -> None:
    results = tmp_path / "results" / "run" / "latest_test"
    command(photos="abc")
    (results / "evaluation").mkdir()
    (results / "evaluation" / "notes.txt").write_text("mine")
    command(photos="de")
    shown = set(re.findall(r'src="(images/[^"]*)"', (results / "index.html").read_text()))
    assert shown == {f"images/{path.name}" for path in (results / "images").iterdir()}
    assert len(shown) == 2 * 2 * 3 and not any(f"/{photo}_" in name for name in shown for photo in "abc")
    assert FolderSource(results, "AtoB", 8, torch.device("cpu")).counts() == {"AtoB": 2, "BtoA": 2}
    assert (results / "evaluation" / "notes.txt").read_text() == "mine", "what a test did not make stays"
    assert json.loads((results / "opt.json").read_text())["direction"] == "AtoB"


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            2,
            "latest_test: No space left on device: free some disk space",
        ),
        (KeyboardInterrupt(), 130, "interrupted; results of an earlier test are as they were"),
    ],
)
def test_half_a_test_changes_nothing(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    told: str,
) -> None:
    module = command(photos="ab")
    before = tree(tmp_path / "results")
    save, saved = module.save_png, []

    def fail_later(path: Path, array: np.ndarray) -> None:
        save(path, array)
        saved.append(path)
        if len(saved) == 5:
            raise error

    monkeypatch.setattr(module, "save_png", fail_later)
    with pytest.raises(SystemExit) as ended:
        command(photos="cd")
    assert ended.value.code == status and told in capsys.readouterr().err
    assert len(saved) == 5 and tree(tmp_path / "results") == before
    assert [path.name for path in (tmp_path / "results" / "run").iterdir()] == ["latest_test"]


def test_a_place_that_cannot_be_written_is_told(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        command("--results_dir", tmp_path / "file" / "results", photos="a")
    told = capsys.readouterr().err
    assert ended.value.code == 2 and "Not a directory: there is a file in place of a folder" in told
    assert "Traceback" not in told and len(told.splitlines()) == 1


def test_what_a_killed_test_left_is_removed_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number in (ended.pid, os.getppid()):
        (tmp_path / f".results.{number}.tmp").mkdir()
    with staged(tmp_path / "results", ["*.html"]) as stage:
        (stage / "index.html").write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"results", f".results.{os.getppid()}.tmp"}


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (UserError("give --this"), 2, "x.py: error: give --this\n"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/a/b"),
            2,
            "x.py: error: /a/b: Permission denied: change its permissions, or choose another path\n",
        ),
        (MemoryError(), 2, "x.py: error: not enough memory"),
        (BrokenPipeError(), 1, ""),
        (KeyboardInterrupt(), 130, "\nx.py: interrupted\n"),
    ],
)
def test_every_command_tells_failures_in_one_line(error: BaseException, status: int, told: str) -> None:
    lines = [
        "import pickle, sys",
        f"sys.path.insert(0, {str(ROOT)!r})",
        "from util.errors import *",
        "with told_in_one_line('x.py'):",
        "    raise pickle.loads(bytes.fromhex(sys.argv[1]))",
    ]
    process = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), pickle.dumps(error).hex()], capture_output=True, text=True, check=False
    )
    assert process.returncode == status and process.stderr.startswith(told) and "Traceback" not in process.stderr


def test_sigterm_is_ctrl_c_where_there_is_something_to_say_of_it() -> None:
    lines = [
        "import os, signal, sys",
        f"sys.path.insert(0, {str(ROOT)!r})",
        "from util.errors import *",
        "with told_in_one_line('x.py', interrupted='nothing was written'):",
        "    os.kill(os.getpid(), signal.SIGTERM)",
        "    signal.pause()",
    ]
    process = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (128 + signal.SIGTERM, "\nx.py: interrupted; nothing was written\n")


def test_a_file_that_cannot_be_written_is_called_by_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left.*report\.html'$"), atomic_path(tmp_path / "report.html"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

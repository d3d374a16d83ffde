"""The project's commands as real processes."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]


def begin_as_at_a_prompt() -> None:
    """Undo what this process, and so those that it starts, may have inherited: ignored or blocked signals (a shell's
    background jobs ignore Ctrl-C), another umask, a home folder that nothing can be written to."""
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, default)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    os.umask(0o022)
    if not os.access(os.path.expanduser("~"), os.W_OK):
        os.environ["HOME"] = tempfile.mkdtemp(prefix="home")
        atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)


begin_as_at_a_prompt()


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}

# Small and quick: a few steps a second on one core.
TINY = "--load_size 36 --crop_size 32 --ngf 4 --ndf 4 --netG resnet_1blocks --num_threads 0 --no_visdom --gpu_ids -1"


def start(
    script: str,
    *words: str | Path,
    cwd: Path = ROOT,
    environment: Mapping[str, str] = ENVIRONMENT,
    output: IO[str] | int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start a script of the project; its output, errors included, can be read from `stdout` or goes to a file."""
    command = [sys.executable, str(ROOT / script), *map(str, words)]
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)


def run(script: str, *words: str | Path, cwd: Path = ROOT, status: int = 0, seconds: float = 240) -> str:
    """Run a script to its end; returns its output. Fails the test unless it ends with `status`."""
    process = start(script, *words, cwd=cwd)
    try:
        output, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == status, output
    return output


NURSERY = """
import json, os, sys
import torch, train
torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # imports a second's worth of modules
from util.errors import told_in_one_line
for line in sys.stdin:
    task = json.loads(line)
    if "wait" in task:
        print(os.waitstatus_to_exitcode(os.waitpid(task["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    output = os.open(task["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(os.devnull)
    sys.argv = ["train.py", *task["words"]]
    if task["nan_photo"]:
        import math
        from data import photos
        load = photos.load_photo
        def spoiled(path, *rest):
            return load(path, *rest) * (math.nan if path.name == task["nan_photo"] else 1)
        photos.load_photo = spoiled
        sys.argv += ["--cache", "none"]
    if task["file_limit"]:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (task["file_limit"], resource.RLIM_INFINITY))
    with told_in_one_line("train.py"):
        sys.exit(train.main())
"""


class Nursery:
    """Starts `train.py` many times: each a process of its own, forked from one that has imported torch already.

    Use as a context manager.
    """

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            cwd=ROOT,
            env=ENVIRONMENT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *exception: object) -> None:
        self._parent.kill()
        self._parent.communicate()

    def start(self, output: Path, *words: str | Path, nan_photo: str = "", file_limit: int = 0) -> int:
        """Start a training that appends what it prints to `output`; returns its process number.

        nan_photo: the name of a photo whose pixels are NaN. file_limit: no file can become larger (bytes; 0: no limit).
        """
        task = {
            "words": [str(word) for word in words],
            "output": str(output),
            "nan_photo": nan_photo,
            "file_limit": file_limit,
        }
        return self._ask(task)

    def run(self, output: Path, *words: str | Path, status: int = 0, **faults: Any) -> str:
        """Run a training to its end; returns what it printed. Fails the test unless it ends with `status`."""
        before = output.stat().st_size if output.exists() else 0
        ended = self.wait(self.start(output, *words, **faults))
        text = output.read_text()[before:]
        assert ended == status, text
        return text

    def wait(self, process: int) -> int:
        """Wait for its end; returns the exit status, that of a killed process being negative."""
        return self._ask({"wait": process})

    def _ask(self, task: dict) -> int:
        assert self._parent.stdin and self._parent.stdout
        self._parent.stdin.write(json.dumps(task) + "\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())

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
import time
from collections.abc import Callable, Mapping
from functools import cache
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


SERVER = """
import atexit, json, os, runpy, sys, threading, time, traceback
import torch, train, evaluate, scripts.preparation.pipeline
torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # imports a second's worth of modules
for line in sys.stdin:
    task = json.loads(line)
    if "wait" in task:
        end = time.monotonic() + task["seconds"]
        while not (ended := os.waitpid(task["wait"], os.WNOHANG))[0] and time.monotonic() < end:
            time.sleep(0.005)
        print(json.dumps(os.waitstatus_to_exitcode(ended[1]) if ended[0] else None), flush=True)
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
    sys.argv = task["command"]
    sys.path[0] = os.path.dirname(sys.argv[0])
    os.environ.update(task["variables"])
    os.chdir(task["folder"])
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
    status = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    # The end of a process without the second in which each of the modules is cleared away.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)
"""


class Server:
    """Forks processes from one that has imported torch already, which takes longer than what most tests are about."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            cwd=ROOT,
            env=ENVIRONMENT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, **task: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


server = cache(Server)
"""One for all tests; it ends with them, when there is nobody to ask any more."""


class Forked:
    """A script of the project at work; has what tests use of subprocess.Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self, seconds: float = 0) -> int | None:
        """The exit status, that of a killed process being negative; None if it goes on after so many seconds."""
        if self.returncode is None:
            self.returncode = server().ask(wait=self.pid, seconds=seconds)
        return self.returncode

    def wait(self, seconds: float = 240) -> int:
        status = self.poll(seconds)
        assert status is not None, f"still at work after {seconds} s"
        return status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def fork(
    output: Path,
    script: str | Path,
    *words: str | Path,
    cwd: Path = ROOT,
    variables: Mapping[str, str] | None = None,
    nan_photo: str = "",
    file_limit: int = 0,
) -> Forked:
    """Start a script that appends what it prints, errors included, to `output`.

    variables: of its environment, beside ENVIRONMENT. nan_photo: the name of a photo whose pixels are NaN. file_limit:
    no file can become larger (bytes; 0: no limit).
    """
    pid = server().ask(
        command=[str(ROOT / script), *map(str, words)],
        output=str(output),
        folder=str(cwd),
        variables=dict(variables or {}),
        nan_photo=nan_photo,
        file_limit=file_limit,
    )
    return Forked(pid)


def run(script: str | Path, *words: str | Path, status: int = 0, seconds: float = 240, **settings: Any) -> str:
    """Run a script to its end, with the settings of `fork`; returns its output. Fails the test unless it ends with
    `status`."""
    with tempfile.TemporaryDirectory(prefix="output") as folder:
        output = Path(folder) / "output.txt"
        process = fork(output, script, *words, **settings)
        try:
            ended = process.poll(seconds)
        finally:
            process.kill()
        text = output.read_text()
    assert ended == status, text
    return text


def tree(folder: Path) -> dict[str, bytes]:
    """The contents of all files below a folder, by their paths in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def wait_until(condition: Callable[[], object], seconds: float = 240) -> None:
    """Wait for what another process does; fails the test if it is not done after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)

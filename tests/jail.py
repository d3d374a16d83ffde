"""A child process in which hostile input is handled, watched: what is written and run, how long it takes, what memory.

The child lives on from case to case (to import torch takes seconds), and is replaced when one kills it or takes too
long. Audit hooks of the interpreter see every file that is opened for writing and every program that is started.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import re
import shutil
import sys
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SECONDS_PER_CASE = 20.0
PEAK_MIB_PER_CASE = 1024
"""Of resident memory beyond what the child had before the case."""
ADDRESS_SPACE_BYTES = 8 * 2**30
"""Of address space beyond what the child had at its start: what asks for more gets a MemoryError."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = (
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.utime",
    "shutil.move",
    "shutil.rmtree",
)
PROGRAMS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.startfile",
    "socket.connect",
    "socket.bind",
)
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What must not reach a console as it is: controls, line separators, marks that turn the direction of writing."""


@dataclass
class Report:
    """What one case did."""

    outcome: str
    """done, told (a message for the user), crashed (any other exception), killed, hung"""
    output: str = ""
    """all that was printed, or the traceback"""
    seconds: float = 0.0
    """of processor time: how much else the machine does is of no consequence"""
    peak_mib: float = 0.0
    violations: list[str] = field(default_factory=list)
    """what was written outside the folder, or run"""

    def check(self) -> Report:
        """Fail the test unless the case ended as it should."""
        assert self.outcome in ("done", "told"), f"{self.outcome}:\n{self.output}"
        assert not self.violations, self.violations
        assert self.seconds < SECONDS_PER_CASE, f"took {self.seconds:.1f} s"
        assert self.peak_mib < PEAK_MIB_PER_CASE, f"took {self.peak_mib:.0f} MiB"
        assert self.outcome == "done" or self.output.strip(), "refused without a message"
        assert "Traceback" not in self.output, self.output
        assert not (raw := RAW.search(self.output)), (raw, self.output)
        return self


class Jail:
    """Runs cases, one at a time, each in an emptied folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cell"
        self.canary = folder / "canary"
        """the file that hostile code is told to write"""
        self._process: Any = None
        self._connection: Connection | None = None

    def run(self, target: str, *arguments: Any) -> Report:
        """Run `hostile_targets.TARGETS[target](folder, *arguments)` in the child."""
        self.canary.unlink(missing_ok=True)
        connection = self._connection or self._start()
        connection.send((target, arguments))
        report = self._answer(connection)
        if self.canary.exists():
            report.violations.append("the canary was written: code was run")
        return report

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._connection = None

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        # No daemon: those may have no children, and MATLAB files are read in one.
        self._process = context.Process(target=serve, args=(other, self.folder))
        self._process.start()
        other.close()
        assert self._connection.recv() == "ready"  # the time for imports is nobody's
        return self._connection

    def _answer(self, connection: Connection) -> Report:
        started = time.monotonic()
        try:
            if connection.poll(10 * SECONDS_PER_CASE):
                return connection.recv()
            report = Report("hung", seconds=time.monotonic() - started)
        except EOFError:
            self._process.join()
            report = Report("killed", f"the process ended with {self._process.exitcode}")
        self.close()
        return report


def serve(connection: Connection, folder: Path) -> None:
    """The child: cases in, reports out."""
    sys.dont_write_bytecode = True
    import hostile_targets

    hostile_targets.make_ready(folder.parent)
    limit_memory()
    watch = Watch(folder)
    sys.addaudithook(watch.see)
    connection.send("ready")
    while True:
        try:
            target, arguments = connection.recv()
        except EOFError:
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        connection.send(run_case(hostile_targets.TARGETS[target], folder, arguments, watch))


class Watch:
    """An audit hook that notes what is written outside a folder, and every program and connection."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.fsencode(os.path.realpath(folder))
        self.is_on = False
        self.violations: list[str] = []

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = flags & WRITING if isinstance(flags, int) else set(mode or "") & set("wax+")
            if writes and not isinstance(path, int):
                self._check(event, path)
        elif event in CHANGES:
            for path in arguments[:2]:
                if isinstance(path, (str, bytes, os.PathLike)):
                    self._check(event, path)
        elif event in PROGRAMS and not _is_fork_server(event, arguments):
            self.violations.append(f"{event} {arguments!r}"[:300])

    def _check(self, event: str, path: str | bytes | os.PathLike[str]) -> None:
        # Names relative to an open folder (as shutil.rmtree uses them) cannot lead elsewhere.
        raw = os.fsencode(path)
        if b"/" not in raw and event != "open":
            return
        real = os.path.join(os.path.realpath(os.path.dirname(raw)), os.path.basename(raw))
        if not (real == self.folder or real.startswith(self.folder + b"/") or raw == b"/dev/null"):
            self.violations.append(f"{event} {raw!r}")


def _is_fork_server(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether this asks for a process that reads a MATLAB file: the only connection to a place on a disk."""
    return event == "socket.connect" and isinstance(arguments[1], (str, bytes))


def run_case(target: Any, folder: Path, arguments: tuple[Any, ...], watch: Watch) -> Report:
    """One case, as a command would do it: messages for the user are printed, all else is a crash."""
    from util.errors import told_in_one_line

    output = io.StringIO()
    before = memory("VmRSS")
    reset_peak()
    watch.violations = []
    started = time.process_time()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        watch.is_on = True
        try:
            with told_in_one_line("command"):
                target(folder, *arguments)
            outcome = "done"
        except SystemExit as error:
            outcome = "told" if error.code else "done"
        except BaseException:
            outcome = "crashed"
            output = io.StringIO(traceback.format_exc())
        finally:
            watch.is_on = False
    seconds = time.process_time() - started
    return Report(outcome, output.getvalue(), seconds, memory("VmHWM") - before, watch.violations)


def limit_memory() -> None:
    """Bound the address space, where the system can."""
    with contextlib.suppress(ImportError, ValueError):
        import resource

        limit = int(memory("VmSize") * 2**20) + ADDRESS_SPACE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def memory(name: str) -> float:
    """VmRSS (resident), VmHWM (its peak) or VmSize (address space) in MiB; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def reset_peak() -> None:
    """Make VmHWM begin anew, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")

"""Fixtures for all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Two test files run at a time; threads that spin while they wait for each other would take the core of the other file.
# Most networks of the tests are too small to share out, anyway. This is read when torch and onnxruntime are imported.
os.environ["OMP_NUM_THREADS"] = "1"

import processes
import pytest
import torch
from jail import Jail

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def demo_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of demo faces, 40 for training and 12 for testing of each domain, 72 pixels."""
    folder = tmp_path_factory.mktemp("demo")
    processes.run("scripts/make_demo_faces.py", "--output", folder, "--size", "72", "--train", "40", "--test", "12")
    return folder


@pytest.fixture(scope="session")
def jail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jail]:
    """A process with limits, for hostile input."""
    jail = Jail(tmp_path_factory.mktemp("hostile"))
    yield jail
    jail.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cases of hostile input were tried."""
    cases = getattr(sys.modules.get("hostile"), "CASES", {})
    if cases:
        shown = ", ".join(f"{name} {count}" for name, count in sorted(cases.items()))
        terminalreporter.write_line(f"hostile input: {sum(cases.values())} cases ({shown})")

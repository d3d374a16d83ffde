"""Fixtures for all tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import processes
import pytest
import torch
from jail import Jail

torch.set_num_threads(1)  # the networks of most tests are too small to share out


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

"""The project's commands as real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}

# Small and quick: a few steps a second on one core.
TINY = "--load_size 36 --crop_size 32 --ngf 4 --ndf 4 --netG resnet_1blocks --num_threads 0 --no_visdom --gpu_ids -1"


def start(script: str, *words: str | Path, cwd: Path = ROOT) -> subprocess.Popen[str]:
    """Start a script of the project; its output can be read from `stdout`, errors included."""
    command = [sys.executable, str(ROOT / script), *map(str, words)]
    return subprocess.Popen(
        command, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run(script: str, *words: str | Path, cwd: Path = ROOT, status: int = 0, seconds: float = 240) -> str:
    """Run a script to its end; returns its output. Fails the test unless it ends with `status`."""
    process = start(script, *words, cwd=cwd)
    try:
        output, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == status, output
    return output

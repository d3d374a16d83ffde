"""conda_deps.sh: what it asks of mamba or conda. Neither is installed here: a venv stands in for their environments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from processes import ROOT

# Keeps an account of its arguments, and runs `run -n NAME COMMAND...` with this Python, but for pip's installations.
STAND_IN = """#!/usr/bin/env bash
echo "$*" >> "{log}"
case "$1" in
  env) echo "# conda environments:"; echo; cat "{environments}" ;;
  create) echo "$4   /envs/$4" >> "{environments}" ;;
  run) shift 3
       if [ "$3" = pip ]; then [ "$PIP_CONSTRAINT" = build-constraints.txt ] && test -f "${{@: -1}}"
       else exec "{python}" "${{@:2}}"; fi ;;
esac
"""


def conda_deps(path: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path}
    return subprocess.run(
        [ROOT / "scripts" / "conda_deps.sh", *words], env=environment, capture_output=True, text=True, check=False
    )


def test_an_environment_is_made_once_and_then_brought_up_to_date(tmp_path: Path) -> None:
    log, environments = tmp_path / "log", tmp_path / "environments"
    environments.write_text("base   * /opt/conda\nfaceaging2   /envs/faceaging2\n")
    tool = tmp_path / "conda"
    tool.write_text(STAND_IN.format(log=log, environments=environments, python=sys.executable))
    tool.chmod(0o755)
    for _ in range(2):
        result = conda_deps(f"{tmp_path}:/usr/bin:/bin")
        assert result.returncode == 0, result.stderr
        assert "torch" in result.stdout and "conda activate faceaging" in result.stdout
    calls = log.read_text().splitlines()
    assert calls.count("create -y -n faceaging -c conda-forge python=3.12 pip") == 1
    assert calls.count("run -n faceaging python -m pip install --requirement requirements.txt") == 2


def test_without_conda_it_says_what_to_do(tmp_path: Path) -> None:
    result = conda_deps("/usr/bin:/bin")
    assert result.returncode == 2 and "none of mamba, micromamba, conda is on PATH" in result.stderr

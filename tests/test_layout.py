"""The order of the packages: a file imports only from floors below its own."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "util": {"util"},
    "faces": {"util", "faces"},
    "models": {"util", "faces", "models"},
    "data": {"util", "data"},
    "evaluation": {"util", "models", "data", "evaluation"},
    "options": {"util", "models", "data", "evaluation", "options"},
    "aging": {"util", "faces", "models", "options", "aging"},
    "scripts": {"util", "faces", "models", "data", "evaluation", "options", "aging", "scripts"},
}
FILES = sorted(path.relative_to(ROOT) for package in ALLOWED for path in (ROOT / package).rglob("*.py"))


def imported_packages(path: Path) -> set[str]:
    packages = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            # A relative import (level above 0) stays within its package.
            packages.add((node.module or "").split(".")[0])
    return packages & {*ALLOWED, "train", "test", "evaluate", "export", "age_photo"}


def test_imports_go_down() -> None:
    assert {file.parts[0] for file in FILES} == set(ALLOWED)
    for file in FILES:
        assert imported_packages(ROOT / file) <= ALLOWED[file.parts[0]], file

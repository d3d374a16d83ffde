"""docs/reliability.md: each promise names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_test_that_the_promises_name_exists() -> None:
    named = re.findall(r"`(\w+\.py)::(\w+)`", TEXT)
    assert len(named) > 30
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_every_row_of_the_tables_names_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("|") and not set(line) <= set("|-")]
    headings = [line for line in rows if line.endswith("| test |")]
    assert headings
    for row in set(rows) - set(headings):
        assert re.search(r"`\w+\.py::\w+` \|$", row), row

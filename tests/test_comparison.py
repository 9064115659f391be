"""The tests that docs/comparison.md names are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", PAGE)))
ROWS = [line for line in PAGE.partition("## Against")[0].splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name):
    path, _, function = name.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert (function in functions) if function else functions


def test_every_row_names_its_test():
    assert len(ROWS) > 25
    for row in ROWS[1:]:
        *_, cell, _ = row.split("|")
        assert re.fullmatch(r" `tests/[\w/]+\.py(::\w+)?` ", cell), row

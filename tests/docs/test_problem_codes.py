"""Promise: every code of a problem of job files is on docs/reference/problems.md, and no code that is gone."""

import ast
import re
from pathlib import Path

from reconciler.spec.sshkeys import TYPES as KEY_TYPES

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"[a-z]+(-[a-z0-9]+)+|anchor|alias|tag|directive|schema|shebang")
NO_CODES = {"utf-8", "ssh-dss", *KEY_TYPES}


def used() -> set[str]:
    """Texts of a code's form that are passed to a call, returned, or stand in a table of codes."""
    found = set()
    for package in ("spec", "schedule"):
        for path in sorted((ROOT / "reconciler" / package).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                    found.add(node.value)
    return found - NO_CODES


def documented() -> set[str]:
    page = (ROOT / "docs" / "reference" / "problems.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([^`]+)`", row)}


def test_every_code_is_documented_and_no_other() -> None:
    assert used() == documented()

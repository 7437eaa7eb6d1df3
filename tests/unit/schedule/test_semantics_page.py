"""Every test that docs/semantics.md and owners.md name exists, so that no page promises nothing that nobody checks."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_each_named_test_exists() -> None:
    named = set(
        re.findall(
            r"`(test_[A-Za-z0-9_]+)`",
            "".join((ROOT / "docs" / page).read_text() for page in ("semantics.md", "owners.md")),
        )
    )
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"def (test_[A-Za-z0-9_]+)\(", tests))
    assert len(named) > 40
    assert named - defined == set()

"""Promise: docs/operate.md says of every code what it means and what to do, and names no code that is gone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.reference import LOG_LINES
from reconciler.model.event import EventName
from reconciler.plan.steps import OWN_CODES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/operate.md").read_text()
# Problems of job files have their own page; these packages hold nothing else that has a code.
OF_JOB_FILES = {"spec", "schedule"}
OF_BOTH = "giturl.py"  # the source's address is one of the service, that of code one of a job file
CODE = re.compile(r"[a-z]+(?:-[a-z]+)+")
BY_POSITION = {
    "Refusal",
    "Refused",
    "_refusal",
    "failure",
    "_rejected",
    "_ssh_path",
    "_say",
}  # callables that take a code in place
TABLES = {"_PERMANENT", "KNOWN", "KNOWN_AT_START"}  # (pattern or words, code, hint)
COMPOSED = {"network-name", "refused"}  # f"{kind}-name" in engine/docker_acquire.py; a default in server/client.py
NO_CODES = {"error"}  # the base class's own, which nobody raises


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / "reconciler").rglob("*.py")):
        if path.relative_to(ROOT / "reconciler").parts[0] not in OF_JOB_FILES or path.name == OF_BOTH:
            yield path, ast.parse(path.read_text())


def texts(node: ast.AST) -> Iterator[str]:
    return (n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def codes_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        values = [k.value for k in node.keywords if k.arg == "code" and isinstance(k.value, ast.Constant | ast.IfExp)]
        for value in values:
            parts = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
            yield from (p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str))
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in BY_POSITION:
            yield from (t for argument in node.args for t in texts(argument) if CODE.fullmatch(t))
    elif isinstance(node, ast.ClassDef):
        for line in node.body:
            if isinstance(line, ast.Assign) and [getattr(t, "id", "") for t in line.targets] == ["code"]:
                yield from texts(line.value)
    elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in TABLES:
        rows = [n.elts[1] for n in ast.walk(node.value) if isinstance(n, ast.Tuple) and len(n.elts) == 3]
        yield from (row.value for row in rows if isinstance(row, ast.Constant) and row.value)


def in_source() -> set[str]:
    found = {code for _, tree in modules() for node in ast.walk(tree) for code in codes_of(node)}
    return (found | COMPOSED | set(OWN_CODES)) - NO_CODES - {""}


def documented() -> list[str]:
    """The codes in the first column of the page's tables."""
    cells = re.findall(r"^\| (`[^|]+`) \|", PAGE, re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([a-z-]+)`", cell)]


def test_the_search_finds_codes_of_every_kind() -> None:
    assert {"disk-full", "host-key", "image-missing", "too-many-retired", "already-running", "url-invalid",
            "service-busy", "stalled", "io-error"} <= in_source()  # fmt: skip


def test_every_code_is_on_the_page() -> None:
    assert sorted(in_source() - set(documented())) == []


def test_every_code_on_the_page_exists() -> None:
    assert sorted(set(documented()) - in_source()) == []


def test_no_code_has_two_rows() -> None:
    found = documented()
    assert sorted({code for code in found if found.count(code) > 1}) == []


@pytest.mark.parametrize(
    "condition",
    ["missing image", "full disk", "dead or hanging Docker", "unreachable remote", "lost or corrupt state", "takeover",
     "second instance", "name collision", "prune", "refused plan", "rewritten history", "held file", "clock",
     "back-up"],
)  # fmt: skip
def test_the_page_speaks_of(condition: str) -> None:
    headings = " ".join(line.lower() for line in PAGE.splitlines() if line.startswith("#"))
    assert condition.lower() in headings


def test_every_line_of_the_log_is_an_event_or_is_listed() -> None:
    said = set()
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                owner, first = node.func.value, node.args[0]
                if getattr(owner, "id", "") == "log" and isinstance(first, ast.Constant):
                    said.add(first.value)
    assert said == set(LOG_LINES)


def test_every_event_is_sent_by_somebody_and_has_its_sentence() -> None:
    sources = "".join(path.read_text() for path, _ in modules() if path.name != "event.py")
    for name in EventName:
        assert f"EventName.{name.name}" in sources, name
        assert name.docs.endswith("."), name

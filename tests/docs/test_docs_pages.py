"""Promise: the generated pages are those of this code, every command is on them, and what the README types works."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import COMMANDS
from reconciler.cli.reference import PAGES
from tests.kit.folders import reachable_folder
from tests.kit.service import eventually
from tests.lab.gitrepo import GitRepo

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)(#[^)\s]+)?\)")
PAGES_OF_OURS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PROGRAM = ".venv/bin/reconciler "


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    made = (ROOT / "docs/reference" / name).read_text()
    assert made == PAGES[name](), "run: python -m reconciler.cli.reference"


def test_every_command_has_its_section() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(COMMANDS)


def test_every_command_that_a_page_types_exists() -> None:
    unknown = []
    for path in PAGES_OF_OURS:
        for block in re.findall(r"(?:^```\w*\n.*?^```|^ {4}.*?$|`reconciler [^`]*`)", path.read_text(), re.M | re.S):
            for word in re.findall(r"(?:^|[`/\s])reconciler ([a-z]+)\b(?![:=.])", block):
                if word not in COMMANDS and word != "help":
                    unknown.append(f"{path.relative_to(ROOT)}: reconciler {word}")
    assert unknown == []


@pytest.mark.parametrize("path", PAGES_OF_OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(path.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        file = path.parent / target
        if not file.exists() or (anchor and file.suffix == ".md" and anchor[1:] not in anchors(file)):
            broken.append(target + anchor)
    own = re.findall(r"\]\((#[^)]+)\)", path.read_text())
    broken += [anchor for anchor in own if anchor[1:] not in anchors(path)]
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# -- what the README types -------------------------------------------------------------------------------------------
def typed() -> list[tuple[bool, str]]:
    """(needs the service, command) of the part "Try it", comments left out."""
    part = README.partition("## Try it")[2].partition("\n## ")[0]
    with_service, without = re.findall(r"```sh\n(.*?)```", part, re.DOTALL)
    blocks = ((True, with_service), (False, without))
    return [(needs, line.partition("  #")[0].strip()) for needs, block in blocks for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def clone() -> Iterator[Path]:
    """A copy of what this checkout would commit, committed, with a folder that any user may enter."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "jobs.d"], cwd=ROOT, check=True,
        capture_output=True, timeout=30,
    ).stdout  # fmt: skip
    with reachable_folder() as folder:
        repo = GitRepo(folder)
        repo.commit({name: (ROOT / name).read_bytes() for name in listing.decode().split("\0") if name})
        yield folder


@pytest.fixture(scope="module")
def served(clone: Path) -> Iterator[Path]:
    """What `make run` does, on the process engine, until the first hello has been said."""
    line = re.search(r"reconciler serve (.*) \$\(ARGS\)", (ROOT / "Makefile").read_text())
    assert line is not None
    words = line[1].replace("$(STATE)", ".state").replace("--engine auto", "--engine process").split()
    log = clone / ".git/serve.log"
    with log.open("wb") as output:
        child = subprocess.Popen(argv("serve", *words), cwd=clone, env=environment(), stdout=output, stderr=output)
    try:
        eventually(lambda: b'"verdict": "succeeded"' in log.read_bytes(), "a first run of hello")
        yield clone
    finally:
        child.terminate()
        child.wait(60)


def argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "reconciler", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_the_readme_types_what_this_test_expects() -> None:
    said = [command for _, command in typed()]
    assert said[0] == "export RECONCILER_STATE_DIR=.state"
    assert [shlex.split(c.removeprefix(PROGRAM))[0] for c in said[1:]] == [
        "jobs", "runs", "why", "logs", "validate", "next", "plan", "simulate",
    ]  # fmt: skip


@pytest.mark.parametrize("command", [c for needs, c in typed() if needs and c.startswith(PROGRAM)])
def test_beside_the_service(command: str, served: Path) -> None:
    def done() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv(*shlex.split(command.removeprefix(PROGRAM))), cwd=served, capture_output=True, text=True, timeout=60,
            env={**environment(), "RECONCILER_STATE_DIR": ".state"},
        )  # fmt: skip

    # The newest run of a job that fires every few seconds may have begun this moment, and said nothing yet.
    eventually(lambda: (said := done()).returncode == 0 and "hello" in said.stdout, command)


@pytest.mark.parametrize("command", [c for needs, c in typed() if not needs])
def test_without_any_service(command: str, clone: Path) -> None:
    words = shlex.split(command.removeprefix(PROGRAM))
    done = subprocess.run(
        argv(*words), cwd=clone, capture_output=True, text=True, timeout=60, env=environment(),
    )  # fmt: skip
    assert done.returncode == (2 if words[0] == "plan" else 0), done.stderr
    assert {"validate": "6 job files: 6 fine", "next": "2026-10-25", "plan": "+ hello", "simulate": "slots ="}[
        words[0]
    ] in (done.stdout + done.stderr)

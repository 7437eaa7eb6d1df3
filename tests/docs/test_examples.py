"""Promise: the examples of docs/examples stand on their page as they are, and neither validate nor lint objects."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

from reconciler.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/examples"
JOBS = sorted(FOLDER.glob("*.yaml"))


def said(*words: str) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        return main(words), out.getvalue()


def test_there_are_examples() -> None:
    assert [path.name for path in JOBS] == ["report-churn.yaml"]


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_an_example_is_on_its_page_valid_and_without_fault(path: Path) -> None:
    page = (ROOT / "docs/develop.md").read_text()
    assert path.read_text() in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert said("validate", str(path))[0] == 0
    assert said("lint", str(path))[0] == 0, said("lint", str(path))


def test_the_notebook_has_the_parameters_that_its_job_passes() -> None:
    cells = json.loads((FOLDER / "churn.ipynb").read_text())["cells"]
    (tagged,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    names = {line.partition(" = ")[0] for line in tagged["source"]}
    assert names == set(re.findall(r"-[rp] (\w+) ", (FOLDER / "report-churn.yaml").read_text()))

"""Promise: the notebook of docs/examples runs as its job says, with papermill from a real index, and is kept."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.gitrepo import GitRepo
from tests.lab.python_image import PYTHON, ensure_python
from tests.lab.wheels import index

pytestmark = [pytest.mark.docker, pytest.mark.timeout(500)]
EXAMPLES = Path(__file__).resolve().parents[2] / "docs/examples"
PAPERMILL = ("papermill==2.7.0", "ipykernel==7.4.0")


@pytest.fixture
def service(docker_host: str, tmp_path: Path) -> Iterator[ServiceChild]:
    """The example's own file, with this machine's image and code."""
    ensure_python(docker_host)
    instance = f"t{secrets.token_hex(4)}"
    text = (EXAMPLES / "report-churn.yaml").read_text()
    with reachable_folder() as folder, index(tmp_path, docker_host, *PAPERMILL) as wheels:
        code = GitRepo(folder / "code")
        code.commit({"churn.ipynb": (EXAMPLES / "churn.ipynb").read_text()})
        code.git("tag", "v3.1.0")
        for theirs, ours in (("python:3.12-slim", PYTHON), ("https://git.example.org/ml/reports.git", str(code.path))):
            assert theirs in text
            text = text.replace(theirs, ours)
        jobs = GitRepo(folder / "jobs")
        jobs.commit({"jobs.d/report-churn.yaml": f"{text}networks: [none]\n"})
        config = f"packages: {{environment: {json.dumps(wheels.variables)}}}\npolicy: {{repositories: ['/*']}}\n"
        try:
            with service_child(folder, jobs.path, instance=instance, docker_host=docker_host,
                               config=config) as service:  # fmt: skip
                service.start().reachable()
                eventually(lambda: "report-churn" in service.standing(), "its packages are installed", within=300.0)
                yield service
        finally:
            clean_up(docker_host, instance)


def printed(notebook: dict[str, Any]) -> str:
    return "".join("".join(output.get("text", ())) for cell in notebook["cells"] for output in cell.get("outputs", ()))


def test_a_notebook_runs_with_the_parameters_of_its_job_and_is_kept_when_a_cell_fails(
    service: ServiceChild, tmp_path: Path
) -> None:
    done = service.run("run", "report-churn", "--param", "month=2026-09", "--param", "rows=20", "--follow")
    assert done.returncode == 0, done
    assert "2026-09: 2 of 20 left" in done.stdout
    eventually(lambda: not service.open_runs(), "its outputs are kept")
    service.cli("outputs", "report-churn", "--to", str(tmp_path / "kept"))
    notebook = json.loads((tmp_path / "kept/churn.ipynb").read_text())
    assert printed(notebook).strip() == "2026-09: 2 of 20 left"
    (filled,) = [cell for cell in notebook["cells"] if "injected-parameters" in cell["metadata"].get("tags", ())]
    assert {'month = "2026-09"', "rows = 20"} <= {line.strip() for line in filled["source"]}

    failed = service.run("run", "report-churn", "--param", "rows=0", "--follow")
    assert failed.returncode == 1, failed
    assert "0 rows are no month" in failed.stdout
    eventually(lambda: not service.open_runs(), "its outputs are kept")
    service.cli("outputs", "report-churn", "--to", str(tmp_path / "failed"))
    assert "0 rows are no month" in (tmp_path / "failed/churn.ipynb").read_text()

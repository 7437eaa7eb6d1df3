"""Promise: a matrix runs a cell for each of its points, so many at a time; the failed ones are run again on request."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.run import RunRecord
from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.dockerd import Handle
from tests.lab.gitrepo import GitRepo
from tests.lab.images import BUSYBOX, ensure_busybox

# The third cell fails, unless it is given three epochs.
SCAN = """
schedule: manual
image: {image}
parameters:
  epochs: {{type: integer, default: 10}}
  depth: {{type: integer}}
strategy:
  matrix: {{lr: [0.1, 3e-3], depth: [2, 4]}}
  max_parallel: 2
script: |
  echo "cell $RECONCILER_CELL of $RECONCILER_CELLS: lr=$LR depth=$DEPTH epochs=$EPOCHS"
  sleep 1
  [ "$LR" != 3e-3 ] || [ "$DEPTH" != 2 ] || [ "$EPOCHS" = 3 ]
"""
ROWS = "lr,depth\n0.5,2\n0.7,8\n"


@pytest.fixture(params=["process", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.timeout(300)])])
def service(request: pytest.FixtureRequest) -> Iterator[ServiceChild]:
    instance, host = f"cells-{secrets.token_hex(3)}", ""
    if request.param == "docker":
        handle: Handle = request.getfixturevalue("private_docker")
        host = handle.docker_host
        ensure_busybox(host)
    with reachable_folder() as folder:
        repo = GitRepo(Path(folder) / "jobs")
        repo.commit({"jobs.d/ml/scan.yaml": SCAN.format(image=BUSYBOX if host else "none")}, "one job")
        try:
            with service_child(folder, repo.path, request.param, instance=instance, docker_host=host) as made:
                made.start().reachable()
                eventually(lambda: len(made.standing()) == 1, "the job stands")
                yield made
        finally:
            if host:
                clean_up(host, instance)


def most_at_once(runs: list[RunRecord]) -> int:
    spans = [(run.started_at, run.finished_at) for run in runs if run.started_at and run.finished_at]
    return max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)


def test_a_matrix_runs_two_at_a_time_and_only_what_failed_is_run_again(service: ServiceChild, tmp_path: Path) -> None:
    assert "strategy" not in service.cli("plan")
    done = service.run("run", "ml/scan", "--wait")
    assert (done.returncode, done.stdout) == (1, "4 cells: 3 ok, 1 failed\n"), done
    runs = service.runs("ml/scan")
    assert sorted(run.cell for run in runs if run.cell is not None) == [0, 1, 2, 3]
    assert most_at_once(runs) == 2
    assert [slot.reason for slot in service.slots("ml/scan")] == ["3 of 4 cells ok; failed: 2"]
    assert "4 cells: 3 ok, 1 failed" in service.cli("runs", "ml/scan")
    shown = service.cli("show", "ml/scan")
    assert "failed, exit 1" in shown
    assert "lr=3e-3 depth=2" in shown
    (third,) = [run for run in runs if run.cell == 2]
    assert service.cli("logs", third.run_id) == "cell 2 of 4: lr=3e-3 depth=2 epochs=10\n"
    assert service.run("run", "ml/scan", "--resume", "--wait").returncode == 1, "it fails again: nothing was mended"
    again = service.runs("ml/scan")[-1]
    assert (again.cell, again.cells, again.parameters) == (2, 4, third.parameters)

    rows = tmp_path / "runs.csv"
    rows.write_text(ROWS)
    done = service.run("run", "ml/scan", "--from", str(rows), "--max-parallel", "1", "--wait")
    assert (done.returncode, done.stdout) == (0, "2 cells: 2 ok\n"), done
    assert most_at_once([run for run in service.runs("ml/scan") if run.cells == 2]) == 1
    rows.write_text("lr,depth\n0.5,deep\n")
    done = service.run("run", "ml/scan", "--from", str(rows))
    assert "[parameter-invalid]" in done.stderr
    assert f"({rows}:2)" in done.stderr


def test_stopping_a_job_stops_all_its_cells(service: ServiceChild) -> None:
    service.cli("run", "ml/scan")
    eventually(lambda: any(run.started_at for run in service.runs("ml/scan")), "a cell runs")
    assert "cells of" in service.cli("stop", "ml/scan")
    eventually(lambda: not any(run.active for run in service.runs("ml/scan")), "all have ended")
    assert any(run.phase.value == "cancelled" for run in service.runs("ml/scan"))

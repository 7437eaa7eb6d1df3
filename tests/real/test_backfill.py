"""Promise: `reconciler backfill` does the slots of a past span again, through the whole service."""

from pathlib import Path

from tests.kit.folders import reachable_folder
from tests.kit.service import eventually, service_child
from tests.lab.gitrepo import GitRepo

NIGHTLY = """
schedule: "0 3 * * *"
image: none
script: |
  echo "orders of $RECONCILER_SLOT, the slot before was $RECONCILER_PREVIOUS_SLOT, $RECONCILER_TRIGGER"
"""


def test_a_week_is_done_again(tmp_path: Path) -> None:
    with reachable_folder() as folder:
        repo = GitRepo(Path(folder) / "jobs")
        repo.commit({"jobs.d/etl.yaml": NIGHTLY}, "one job")
        with service_child(folder, repo.path, "process", instance="fill") as service:
            service.start().reachable()
            eventually(lambda: len(service.standing()) == 1, "the job stands")
            span = ("--from", "2026-03-27T00:00", "--to", "2026-03-30T12:00")
            assert service.cli("backfill", "etl", *span, "--dry-run").split() == [
                f"2026-03-{day}T03:00:00Z" for day in (27, 28, 29, 30)
            ]
            done = service.run("backfill", "etl", *span, "--max-parallel", "2", "--key", "k1", "--wait")
            assert (done.returncode, done.stdout) == (0, "4 cells: 4 ok\n"), done
            runs = {run.cell: run for run in service.runs("etl")}
            assert service.cli("logs", runs[2].run_id) == (
                "orders of 2026-03-29T03:00:00Z, the slot before was 2026-03-28T03:00:00Z, backfill\n"
            )
            again = service.json("backfill", "etl", *span, "--key", "k1")
            assert (again["repeated"], again["run_id"]) == (True, runs[0].run_id)
            assert service.json("show", runs[3].run_id)["replays"] == "2026-03-30T03:00:00Z"
            refused = service.run("backfill", "etl", "--from", "2026-03-27T04:00", "--to", "2026-03-27T05:00")
            assert refused.returncode == 1
            assert "no slot in this span" in refused.stderr and "[backfill-empty]" in refused.stderr

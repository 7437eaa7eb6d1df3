"""Jobs that leave a line per start where no service can forget it, and what must be true of those lines in the end."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.daemon.log_pump import GAP
from reconciler.model.run import Disposition, RunRecord
from tests.kit.service import (
    ServiceChild,
    assert_every_slot_accounted,
    assert_no_slot_started_twice,
    eventually,
    scheduled,
)
from tests.kit.standing import api

VOLUME = "witness"


@dataclass(frozen=True)
class Witness:
    """Who has seen every start: a file that the jobs append to."""

    text: Callable[[], str]

    def starts(self, job: str) -> Counter[datetime]:
        """How often a command of this job was started for each slot."""
        words = [line.split() for line in self.text().splitlines()]
        return Counter(datetime.fromisoformat(slot) for name, slot, _run in words if name == job)


def witness_file(path: Path) -> Witness:
    """On the host, for the process engine, whose jobs run as another user."""
    path.touch()
    path.chmod(0o666)
    return Witness(path.read_text)


def witness_volume(docker_host: str, instance: str) -> Witness:
    """In a named volume of this instance on a local Engine."""

    def text() -> str:
        with api(docker_host) as client:
            volumes = client.volumes()["Volumes"] or []
        mine = [v for v in volumes if v["Name"].startswith(f"{instance}.") and v["Name"].endswith(VOLUME)]
        path = Path(mine[0]["Mountpoint"], "starts") if mine else None
        return path.read_text() if path is not None and path.exists() else ""

    return Witness(text)


def witnessed_job(schedule: str, image: str, witness: str, more: str = "", then: str = "") -> str:
    """A job file; `witness` is the path that its command appends to."""
    mount = f"volumes: ['{VOLUME}:{Path(witness).parent}']\n" if image != "none" else ""
    return (
        f'schedule: "{schedule}"\nimage: {image}\n{mount}{more}history: {{keep_success: 10000, keep_failed: 10000}}\n'
        "script: |\n"
        f'  echo "$RECONCILER_JOB $RECONCILER_SLOT $RECONCILER_RUN_ID" >> {witness}\n'
        f'  echo "started $RECONCILER_RUN_ID"\n  {then or ":"}\n  echo "ended $RECONCILER_RUN_ID"\n'
    )


def settled(service: ServiceChild, job: str, after: datetime) -> bool:
    """Has every slot up to `after` been decided, and every run of one of them been ended, kept and removed?"""
    return service.standing()[job].cursor >= after and not any(
        run.job == job and run.slot <= after for run in service.open_runs()
    )


def assert_fired_exactly_once(
    service: ServiceChild, job: str, witness: Witness, allowed: set[Disposition], *, gaps: bool = False
) -> None:
    """From its first apply until now: no slot ran twice, each has one disposition, each log is whole."""
    now = datetime.now(UTC)
    eventually(lambda: settled(service, job, now), f"the slots of {job} are settled")
    row, runs = service.standing()[job], service.runs(job)
    slots = [slot for slot in scheduled(service.slots(job)) if slot.last <= now]
    assert_every_slot_accounted(row, slots, row.applied_at, now - timedelta(seconds=1))
    assert_no_slot_started_twice(runs)
    assert {slot.disposition for slot in slots} <= allowed, [s for s in slots if s.disposition not in allowed]
    starts = {slot: count for slot, count in witness.starts(job).items() if slot <= now}
    assert [slot for slot, count in starts.items() if count > 1] == []
    ran = {slot.first for slot in slots if slot.disposition in (Disposition.RAN, Disposition.LOST)}
    assert starts.keys() == ran
    assert_logs_whole(service, [run for run in runs if run.phase == "succeeded"], gaps=gaps)


def assert_logs_whole(service: ServiceChild, runs: Sequence[RunRecord], *, gaps: bool = False) -> None:
    """`gaps`: somebody removes containers; then a log may lack its end, and says so."""
    for run in runs:
        whole, text = f"started {run.run_id}\nended {run.run_id}\n", service.log_of(run)
        assert text == whole or (gaps and text.endswith(GAP.decode())), (run.run_id, text)

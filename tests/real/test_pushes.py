"""Promise: what is pushed to a bare repository is what Docker holds: nine commits, and after each the rules hold."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.live import StandingJob
from reconciler.model.run import Disposition
from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import (
    ServiceChild,
    assert_every_slot_accounted,
    assert_no_slot_started_twice,
    eventually,
    service_child,
)
from tests.kit.standing import Container, run_containers, standing
from tests.lab.gitrepo import GitRepo
from tests.lab.images import BUSYBOX, ensure_busybox, labelled_image

pytestmark = [pytest.mark.timeout(300)]

NEWER = "busybox:newer"
SEEN_WITHIN = 15.0  # seconds from a push to its plan; one or two on an idle machine, and far less than any poll
FIRED = 3  # slots that a job must go on to fire to count as firing


def job(schedule: str, script: str = "echo $RECONCILER_RUN_ID", image: str = BUSYBOX, **more: str) -> str:
    lines = [f'schedule: "{schedule}"', f"image: {image}", f"script: {script}", "timezone: Europe/Berlin"]
    return "\n".join([*lines, *(f"{key}: {value}" for key, value in more.items()), ""])


@dataclass
class Site:
    """A clone that pushes, the bare repository, the service that follows it, and the Engine."""

    clone: GitRepo
    service: ServiceChild
    docker_host: str
    took: list[float] = field(default_factory=list)  # seconds from each push until its plan was made

    def push(self, files: dict[str, str | None]) -> str:
        """Commit and push, and wait until the service has acted on it; the commit id."""
        commit = self.clone.commit({f"jobs.d/{name}.yaml": text for name, text in files.items()})
        began = time.monotonic()
        self.clone.push()
        eventually(lambda: self.service.meta("applied_revision") == commit, f"{commit} is applied", SEEN_WITHIN)
        self.took.append(time.monotonic() - began)
        eventually(lambda: self.service.json("apply")["results"] == [], "nothing is left to do")
        return commit

    def engine(self) -> dict[str, Container]:
        return standing(self.docker_host, self.service.instance)

    def ledger(self) -> dict[str, StandingJob]:
        return self.service.standing()


@pytest.fixture
def site(docker_host: str) -> Iterator[Site]:
    ensure_busybox(docker_host)
    labelled_image(docker_host, NEWER, ["LABEL release=newer"])
    instance = f"t{secrets.token_hex(4)}"
    with reachable_folder() as folder:
        clone = GitRepo(folder / "clone")
        clone.commit({"README.md": "Jobs of the warehouse\n"})
        bare = clone.bare_clone(folder / "jobs.git")
        try:
            with service_child(folder, bare, instance=instance, docker_host=docker_host) as service:
                yield Site(clone, service, docker_host)
        finally:
            clean_up(docker_host, instance)


def assert_in_step(site: Site, revisions: dict[str, str]) -> dict[str, Container]:
    """Docker holds exactly these jobs, never started, each with the labels that ledger and git say (rules P1, P6)."""
    shown, rows = site.engine(), site.ledger()
    assert shown.keys() == rows.keys() == revisions.keys()
    for name, container in shown.items():
        assert container.name == f"{site.service.instance}.{name.replace('/', '.')}"
        assert container.state == "created"
        assert (container.ref, container.digest) == (rows[name].ref, rows[name].digest)
        assert container.revision == rows[name].revision == revisions[name]
        assert container.image_id == rows[name].image_id
        assert container.labels["io.reconciler.owner"] == rows[name].owner == "default"
    return shown


def assert_only(changed: set[str], before: dict[str, Container], after: dict[str, Container]) -> None:
    """Rule P3: every other container is the very same object."""
    for name in before.keys() & after.keys():
        assert (before[name].ref != after[name].ref) == (name in changed), name


def fires_on(service: ServiceChild, name: str) -> None:
    """It makes further runs that succeed from now on."""
    since = datetime.now(UTC)
    eventually(
        lambda: sum(r.slot > since and r.phase == "succeeded" for r in service.runs(name)) >= FIRED, f"{name} fires on"
    )


def assert_fired_throughout(service: ServiceChild, name: str, since: datetime) -> None:
    """Rule T5: every slot since then ran, or was skipped because the run before it was slow."""
    row, slots = service.standing()[name], [slot for slot in service.slots(name) if slot.first > since]
    open_since = min((run.slot for run in service.open_runs() if run.job == name), default=row.cursor)
    assert_every_slot_accounted(row, slots, since, min(open_since - timedelta(seconds=1), row.cursor))
    assert [slot for slot in slots if slot.disposition not in (Disposition.RAN, Disposition.SKIPPED)] == []


def test_nine_pushes_and_what_docker_then_holds(site: Site) -> None:
    service = site.service.start().reachable()

    # 1: jobs are added.
    first = site.push({
        "beat": job("*/2 * * * * *"), "data/orders": job("30 2 * * *"), "data/customers": job("manual"),
        "web/report": job("0 7 * * 1"), "web/backup": job("@daily"),
    })  # fmt: skip
    revisions = dict.fromkeys(("beat", "data/orders", "data/customers", "web/report", "web/backup"), first)
    added = assert_in_step(site, revisions)
    assert all(row.cursor == row.anchor for name, row in site.ledger().items() if name != "beat")  # T4: owes nothing
    began_firing = site.ledger()["beat"].applied_at
    fires_on(service, "beat")
    service.cli("run", "data/customers", "--wait")
    assert service.check()[0] == 0, service.check()

    # 2: a schedule is changed. Rule T4: nothing before the edit is owed.
    before, edited_at = site.ledger(), datetime.now(UTC)
    revisions["data/orders"] = site.push({"data/orders": job("*/10 * * * *")})
    rescheduled = assert_in_step(site, revisions)
    assert_only({"data/orders"}, added, rescheduled)
    row = site.ledger()["data/orders"]
    assert row.cursor >= edited_at > before["data/orders"].cursor
    assert row.anchor >= edited_at

    # 3: an image is changed. Rule T4: the cursor and what is owed stay; rule P4: the image is pinned by id.
    before = site.ledger()
    revisions["data/orders"] = site.push({"data/orders": job("*/10 * * * *", image=NEWER)})
    repinned = assert_in_step(site, revisions)
    assert_only({"data/orders"}, rescheduled, repinned)
    row = site.ledger()["data/orders"]
    slots_since = [s for s in service.slots("data/orders") if s.first > before["data/orders"].cursor]
    assert row.anchor == before["data/orders"].anchor
    assert row.cursor == max([before["data/orders"].cursor, *(s.last for s in slots_since)])
    assert row.image_id != before["data/orders"].image_id

    # 4: a file is broken, another is changed. Rule D2: the broken one is held and its live version stays; the rest
    # applies.
    broken = job("0 7 * * 1").replace("schedule", "schedul")
    revisions["web/backup"] = site.push({"web/report": broken, "web/backup": job("@daily", description="Nightly")})
    held = assert_in_step(site, revisions)
    assert_only({"web/backup"}, repinned, held)
    code, line = service.check()
    assert (code, "web/report HELD" in line) == (1, True), line
    assert service.entries("job.held", job="web/report")

    # 5: it is fixed, and says more.
    revisions["web/report"] = site.push({"web/report": job("0 7 * * 1", "echo fixed")})
    fixed = assert_in_step(site, revisions)
    assert_only({"web/report"}, held, fixed)
    assert service.check()[0] == 0, service.check()

    # 6: two files move, one of them while it fires. Rule D1: history, cursor and running runs go along.
    history = {name: service.runs(name) for name in ("data/customers", "beat")}
    moved = site.push({
        "data/customers": None, "crm/customers": job("manual", moved_from="data/customers"),
        "beat": None, "pulse": job("*/2 * * * * *", moved_from="beat"),
    })  # fmt: skip
    for old, new in (("data/customers", "crm/customers"), ("beat", "pulse")):
        del revisions[old]
        revisions[new] = moved
        assert service.runs(old) == []
        assert {run.run_id for run in history[old]} <= {run.run_id for run in service.runs(new)}
    assert_in_step(site, revisions)
    assert service.runs("crm/customers")[0].phase == "succeeded"
    fires_on(service, "pulse")
    assert_fired_throughout(service, "pulse", began_firing)

    # 7: one file is deleted. Its container goes, its history stays.
    before_deletion = site.engine()
    service.cli("run", "web/report", "--wait")
    site.push({"web/report": None})
    del revisions["web/report"]
    left = assert_in_step(site, revisions)
    assert_only(set(), before_deletion, left)
    assert [run.phase.value for run in service.runs("web/report")] == ["succeeded"]

    # 8: all are deleted. Rule D4: refused; nothing is touched and everything keeps firing.
    applied = service.meta("applied_revision")
    site.clone.commit({f"jobs.d/{name}.yaml": None for name in revisions})
    site.clone.push()
    refusal = service.await_entry("plan.refused")
    assert service.meta("applied_revision") == applied
    assert_only(set(), left, assert_in_step(site, revisions))
    fires_on(service, "pulse")
    assert service.degraded(refusal["code"])
    code, line = service.check()
    assert (code, refusal["code"] in line) == (2, True), line
    assert service.run("plan").returncode != 0
    assert service.run("apply").returncode == 1
    assert_only(set(), left, assert_in_step(site, revisions))

    # ... until exactly this plan is approved. What runs is left to end; history and cursor rows are kept.
    service.cli("approve", refusal["plan"], "--reason", "the warehouse moves")
    eventually(lambda: not site.engine() and not site.ledger(), "everything is retired")
    eventually(lambda: not run_containers(site.docker_host, service.instance), "the last runs have ended")
    last = service.runs("pulse")
    assert service.entries("plan.approved", plan=refusal["plan"], reason="the warehouse moves")
    assert all(run.phase == "succeeded" or not run.started_at for run in last)

    # 9: one comes back. It is new: nothing from before is owed (rule T4).
    revisions = {"pulse": site.push({"pulse": job("*/2 * * * * *")})}
    assert_in_step(site, revisions)
    fires_on(service, "pulse")

    given_up = 2  # seconds: the retired one may have given up a slot that comes only now
    assert_fired_throughout(service, "pulse", site.ledger()["pulse"].applied_at + timedelta(seconds=given_up))
    assert_no_slot_started_twice(service.runs("pulse"))
    for run in [run for run in service.runs("pulse") if run.phase == "succeeded"]:
        assert run.run_id in service.log_of(run)
    assert max(site.took) < SEEN_WITHIN, site.took
    assert service.stop() == 0

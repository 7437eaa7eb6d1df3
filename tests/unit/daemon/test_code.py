"""What the service makes of code that can and cannot be had: recorded, tried again or given up, and in nobody's way."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.daemon.asked_code import asked_code, had_refs
from reconciler.model.errors import CodeRejected, CodeUnavailable, Permanent, ReconcilerError, StateError
from reconciler.model.event import EventName
from reconciler.model.job import CodeRepository, FileMount, JobSpec, Retries, Schedule, ScheduleKind, Strategy
from reconciler.model.run import CodeAt, FailureClass, RunRecord
from reconciler.model.service import ServiceConfig
from reconciler.model.workspace import Workspace
from reconciler.workspace.base import Parts
from tests.kit.world import World, cron

CODE = (CodeRepository("git@h:a.git", "/a", "main"),)


@dataclass
class Remote:
    """A part that hands out the commits `1`, `2`, ... and `refuses` as often as it has errors."""

    refuses: list[ReconcilerError] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    dropped: tuple[str, ...] = ()

    def make(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Workspace:
        if not spec.repositories:
            return Workspace()
        if self.refuses:
            raise self.refuses.pop(0)
        code = []
        for item in spec.repositories:
            at = next((at for at in run.code if at.target == item.target), CodeAt(item.target, item.url, item.ref))
            if not at.commit:
                self.asked.append(at.ref)
                at = at._replace(commit=str(len(self.asked)))
            code.append(at)
        return Workspace(code=tuple(code), dropped=self.dropped)

    def drop(self, run_id: str) -> None: ...

    def tidy(self, keep: Collection[str]) -> None: ...


@pytest.fixture
def remote() -> Remote:
    return Remote()


@pytest.fixture
def world(tmp_path: Path, remote: Remote) -> World:
    return World(tmp_path, workspace=Parts([remote]))


def commits(world: World, job: str = "nightly") -> list[str]:
    return [item.commit for run in world.runs(job) for item in run.code]


def test_R7_a_run_records_its_commits(world: World) -> None:
    world.apply(cron("1 2 * * *", repositories=CODE))
    world.tick(65)
    (run,) = world.runs("nightly")
    assert run.code == (CodeAt("/a", "git@h:a.git", "main", "1"),)


def test_each_slot_looks_anew_and_a_further_attempt_does_not(world: World, remote: Remote) -> None:
    world.behave("nightly", exit_code=1)
    world.apply(cron("*/5 * * * *", repositories=CODE, retries=Retries(limit=1, delay=5.0)))
    world.tick(660)
    assert commits(world) == ["1", "1", "2", "2"] and remote.asked == ["main", "main"]


def test_all_cells_have_the_commit_of_the_first_even_through_a_kill(world: World, remote: Remote) -> None:
    world.behave("nightly", duration=20.0)
    world.apply(cron("1 2 * * *", repositories=CODE, strategy=Strategy(parallelism=3, max_parallel=1)))
    world.tick(70)
    world.restart(down=5.0)
    world.tick(120)
    assert commits(world) == ["1", "1", "1"] and remote.asked == ["main"]


def test_a_server_that_is_away_is_asked_again(world: World, remote: Remote) -> None:
    remote.refuses = [CodeUnavailable("no answer"), CodeUnavailable("no answer")]
    world.apply(cron("1 2 * * *", repositories=CODE))
    world.tick(70)
    assert world.verdicts("nightly") == ["succeeded"]


def test_one_that_stays_away_costs_the_slot_at_its_deadline(world: World, remote: Remote) -> None:
    remote.refuses = [CodeUnavailable("no answer") for _ in range(1000)]
    world.apply(cron("1 2 * * *", repositories=CODE, start_deadline=120.0))
    world.tick(200)
    (run,) = world.runs("nightly")
    assert (run.phase.value, run.failure, run.started_at) == ("failed", FailureClass.CODE, None)
    assert world.slots("nightly") == [("02:01:00", "unavailable", 1)]


def test_what_only_a_person_can_change_ends_the_run_at_its_instant(world: World, remote: Remote) -> None:
    """Ahead of it, it is no loss: it may have been pushed until then."""
    remote.refuses = [CodeRejected("no such branch", code="code-ref-missing") for _ in range(20)]
    world.apply(cron("1 2 * * *", repositories=CODE), cron("1 2 * * *", "other"))
    world.tick(59)
    assert world.runs("nightly")[0].active
    world.tick(6)
    (run,) = world.runs("nightly")
    assert (run.phase.value, run.failure, run.reason) == ("failed", FailureClass.CODE, "no such branch")
    assert world.slots("nightly") == [("02:01:00", "unavailable", 1)]
    assert world.verdicts("other") == ["succeeded"]
    told = [e.fields["code"] for e in world.history.events(job="nightly") if e.name is EventName.RUN_DELAYED]
    assert told == ["code-ref-missing"]


def test_what_is_pushed_in_time_is_taken(world: World, remote: Remote) -> None:
    remote.refuses = [CodeRejected("no such branch", code="code-ref-missing")]
    world.apply(cron("1 2 * * *", repositories=CODE))
    world.tick(65)
    assert world.verdicts("nightly") == ["succeeded"]


def test_a_full_disk_is_of_its_own_class(world: World, remote: Remote) -> None:
    remote.refuses = [StateError("full", code="disk-full") for _ in range(1000)]
    world.apply(cron("1 2 * * *", repositories=CODE, start_deadline=60.0))
    world.tick(150)
    assert [run.failure for run in world.runs("nightly")] == [FailureClass.DISK]


def test_links_that_were_left_out_are_told_once(world: World, remote: Remote) -> None:
    remote.dropped = tuple(f"/a/{number}" for number in range(30))
    world.apply(cron("1 2 * * *", repositories=CODE))
    world.tick(65)
    (told,) = [e for e in world.history.events(job="nightly") if e.name is EventName.CODE_TRIMMED]
    assert told.fields["count"] == 30 and str(told.fields["links"]).count("/a/") == 10


def test_code_that_takes_long_keeps_no_other_run_from_starting(world: World) -> None:
    world.pools.hold = "code"
    world.apply(cron("1 2 * * *", repositories=CODE), cron("1 2 * * *", "other"))
    world.tick(65)
    assert world.verdicts("nightly") == ["preparing"] and world.verdicts("other") == ["succeeded"]


@pytest.mark.parametrize("shares", [True, False], ids=["here", "elsewhere"])
def test_files_that_are_sent_take_the_workers_of_code_and_those_that_are_bound_do_not(
    world: World, *, shares: bool
) -> None:
    """On an Engine elsewhere the job's own `tar` unpacks them, for as long as it likes."""
    world.engine.shares_host = shares
    world.pools.hold = "code"
    world.apply(cron("1 2 * * *", files=(FileMount("/etc/a", "a", 0o444),)), cron("1 2 * * *", "other"))
    world.tick(65)
    assert world.verdicts("nightly") == ["succeeded" if shares else "preparing"]
    assert world.verdicts("other") == ["succeeded"]


def test_a_person_tries_other_code(world: World, remote: Remote) -> None:
    world.behave("nightly", exit_code=1)
    world.apply(cron("1 5 * * *", repositories=CODE, retries=Retries(limit=1, delay=5.0)))
    run, repeated, _ = world.operators.run_job("nightly", "anna", {}, "k", refs=["feature/x"])
    assert run.code == (CodeAt("/a", "git@h:a.git", "feature/x"),) and not repeated
    world.tick(30)
    assert [run.code[0] for run in world.runs("nightly")] == [CodeAt("/a", "git@h:a.git", "feature/x", "1")] * 2
    assert remote.asked == ["feature/x"]
    assert world.operators.run_job("nightly", "anna", {}, "k", refs=["feature/x"])[1]
    with pytest.raises(Permanent) as caught:
        world.operators.run_job("nightly", "anna", {}, "k", refs=["other"])
    assert caught.value.code == "key-taken"


TWO = (CodeRepository("git@h:a.git", "/a"), CodeRepository("git@h:b.git", "/b"))
WRONG = {
    "a job without code": ((), ["x"], "it has no `repositories`"),
    "which of two": (TWO, ["x"], "it has code at /a, /b"),
    "a target that it has not": (CODE, ["/c=x"], "it has no code at /c"),
    "a target without a ref": (CODE, ["/a"], "has no '='"),
    "two refs for one": (CODE, ["x", "/a=y"], "two refs are given for /a"),
    "a ref that is an option": (CODE, ["--exec=x"], "no branch, tag or commit"),
    "a ref of several": (CODE, ["+refs/heads/*:refs/x"], "no branch, tag or commit"),
}


@pytest.mark.parametrize(("repositories", "refs", "said"), WRONG.values(), ids=WRONG)
def test_a_ref_that_does_not_fit(repositories: tuple[CodeRepository, ...], refs: list[str], said: str) -> None:
    spec = JobSpec("a", "default", Schedule(ScheduleKind.MANUAL), "b", repositories=repositories)
    with pytest.raises(Permanent) as caught:
        asked_code(spec, refs)
    assert caught.value.code == "code-ref" and said in str(caught.value)


def test_refs_of_several_repositories() -> None:
    spec = JobSpec("a", "default", Schedule(ScheduleKind.MANUAL), "b", repositories=TWO)
    code = asked_code(spec, ["/b=x=y", "/a=v1"])
    assert [(at.target, at.ref) for at in code] == [("/b", "x=y"), ("/a", "v1")]
    assert had_refs(code, ["/a=v1"]) and not had_refs(code, ["/a=v2"])

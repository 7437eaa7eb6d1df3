"""The small parts of the loops keep their bounds: clocks, back-off, drift, log pumps, requests, kicks."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.daemon.backoff import STALLED_AFTER, WINDOW, Backoff, Convergence
from reconciler.daemon.clock_watch import ABSENT, ClockNews, ClockWatch
from reconciler.daemon.drift import PAUSE, PIECE, TURN, DriftRound
from reconciler.daemon.journal import console_line
from reconciler.daemon.log_pump import GAP, LogPump, Pumps
from reconciler.daemon.refresh import Refresher
from reconciler.daemon.requests import Request
from reconciler.engine.base import Installed, LogChunk, StandingOrder
from reconciler.history.sqlite import open_history
from reconciler.model.errors import EngineRejected, EngineUnavailable
from reconciler.model.job import PullPolicy
from reconciler.model.live import LiveJob, LiveState, StandingJob
from reconciler.model.service import Policy
from tests.kit.docker_engine import eventually
from tests.kit.world import World, cron

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)

# -- clocks --------------------------------------------------------------------------------------------------------

LOOKS = [
    ("nothing is known at the first look", [(0, 0)], ClockNews()),
    ("both clocks go on alike", [(0, 0), (5, 5)], ClockNews()),
    ("a small difference is no step", [(0, 0), (6, 5)], ClockNews()),
    ("the wall clock is set forward: a downtime", [(0, 0), (3605, 5)], ClockNews(3600.0, (NOW, NOW + 3605 * SECOND))),
    ("the wall clock is set back: no downtime", [(0, 0), (-3595, 5)], ClockNews(-3600.0)),
    ("the host slept: both clocks jump", [(0, 0), (900, 900)], ClockNews(0.0, (NOW, NOW + 900 * SECOND))),
    ("the process was frozen for less than counts", [(0, 0), (ABSENT, ABSENT)], ClockNews()),
]  # fmt: skip


@pytest.mark.parametrize(("looks", "news"), [row[1:] for row in LOOKS], ids=[row[0] for row in LOOKS])
def test_T7_wall_and_boot_clock_are_compared(looks: list[tuple[float, float]], news: ClockNews) -> None:
    watch = ClockWatch()
    found = [watch.look(NOW + timedelta(seconds=wall), 1000.0 + boot) for wall, boot in looks]
    assert found[-1] == news


def test_T6_the_time_between_two_processes_is_a_downtime() -> None:
    assert ClockWatch(NOW - 60 * SECOND).look(NOW, 5.0) == ClockNews(0.0, (NOW - 60 * SECOND, NOW))
    assert ClockWatch(NOW + 60 * SECOND).look(NOW, 5.0) == ClockNews()


# -- back-off and convergence --------------------------------------------------------------------------------------


def test_backoff_doubles_up_to_its_bound_and_forgets_after_a_success() -> None:
    backoff, at, waits = Backoff(5.0, 300.0), NOW, []
    for _ in range(9):
        backoff.failed("a", at)
        assert backoff.waiting("a", at) and not backoff.waiting("b", at)
        following = backoff.next_at(at)
        assert following is not None
        waits.append((following - at).total_seconds())
        at = following
        assert not backoff.waiting("a", at)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    backoff.succeeded("a")
    backoff.failed("a", at)
    assert backoff.next_at(at) == at + 5 * SECOND


def test_backoff_holds_a_bounded_number_of_keys() -> None:
    backoff = Backoff(5.0, 300.0)
    for number in range(25_000):
        backoff.failed(f"job-{number}", NOW + number * SECOND)
    assert len(backoff._failures) <= 10_001


def test_P1_what_is_applied_again_and_again_is_left_alone_for_a_while() -> None:
    convergence = Convergence()
    said = [convergence.applied("a", "d", NOW + number * SECOND) for number in range(STALLED_AFTER)]
    assert [bool(why) for why in said] == [False] * (STALLED_AFTER - 1) + [True]
    slow = Convergence()
    assert not any(slow.applied("a", "d", NOW + number * WINDOW) for number in range(20))


# -- drift ---------------------------------------------------------------------------------------------------------


class Drifting:
    """An engine of which only `inspect_drift` matters."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.drift: dict[str, tuple[str, ...]] = {}
        self.error: Exception | None = None

    def inspect_drift(self, job: str, order: StandingOrder) -> tuple[str, ...]:
        self.asked.append(job)
        if self.error is not None:
            raise self.error
        return self.drift.get(job, ())


def fleet(count: int) -> tuple[LiveState, dict[str, StandingJob]]:
    names = [f"job-{number:03}" for number in range(count)]
    rows = {
        name: StandingJob(name, cron("@daily", name), "d", "r", f"{name}.yaml", NOW, NOW, NOW, ref=f"ref-{name}")
        for name in names
    }
    live = {name: LiveJob(name, "d", "r", "default", f"ref-{name}") for name in names}
    return LiveState("memory", live, {}), rows


def order_of(job: StandingJob) -> StandingOrder:
    return StandingOrder(job.spec, job.digest, job.revision, job.path, Policy())


def look(round_: DriftRound, engine: Drifting, live: LiveState, rows: dict[str, StandingJob], now: datetime) -> None:
    round_.look(engine, live, rows, order_of, now)  # type: ignore[arg-type]


def test_P1_all_are_looked_at_after_the_start_in_pieces_and_then_once_a_turn() -> None:
    round_, engine, (live, rows) = DriftRound(), Drifting(), fleet(60)
    at = NOW
    while len(engine.asked) < 60:
        before = len(engine.asked)
        look(round_, engine, live, rows, at)
        assert 0 < len(engine.asked) - before <= PIECE
        look(round_, engine, live, rows, at)  # not due: nothing is asked
        at += PAUSE
    assert sorted(engine.asked) == sorted(rows)
    look(round_, engine, live, rows, at + timedelta(minutes=30))
    assert len(engine.asked) == 60
    look(round_, engine, live, rows, at + TURN)
    assert len(engine.asked) == 60 + PIECE


def test_P1_an_event_has_its_object_looked_at_first_and_drift_marks_the_listing() -> None:
    round_, engine, (live, rows) = DriftRound(), Drifting(), fleet(3)
    look(round_, engine, live, rows, NOW)
    assert round_.marked(live) is live
    engine.asked.clear()
    engine.drift["job-001"] = ("memory is 1g, not 512m",)
    round_.suspect("job-001")
    look(round_, engine, live, rows, NOW + SECOND)
    assert engine.asked == ["job-001"]
    assert round_.marked(live).jobs["job-001"].drift == ("memory is 1g, not 512m",)
    assert not round_.marked(live).jobs["job-000"].drift
    healed = replace(live, jobs={**live.jobs, "job-001": replace(live.jobs["job-001"], ref="another")})
    assert not round_.marked(healed).jobs["job-001"].drift


def test_P1_whatever_changes_the_marks_is_counted_and_nothing_else() -> None:
    round_, engine, (live, rows) = DriftRound(), Drifting(), fleet(1)
    counts = []
    for drift in ((), ("memory is 1g",), ("memory is 1g",), ("memory is 2g",), (), ()):
        engine.drift["job-000"] = drift
        round_.suspect("job-000")
        look(round_, engine, live, rows, NOW)
        counts.append(round_.changes)
    assert counts == [0, 1, 1, 2, 3, 3]
    engine.drift["job-000"] = ("memory is 1g",)
    round_.suspect("job-000")
    look(round_, engine, live, rows, NOW)
    round_.made("job-000", NOW)
    round_.made("job-000", NOW)
    assert round_.changes == 5


def test_P1_what_was_just_made_has_its_turn_in_an_hour_unless_an_event_speaks_of_it() -> None:
    round_, engine, (live, rows) = DriftRound(), Drifting(), fleet(3)
    for name in ("job-000", "job-001"):
        round_.made(name, NOW)
    round_.suspect("job-001")
    look(round_, engine, live, rows, NOW)
    assert sorted(engine.asked) == ["job-001", "job-002"]
    look(round_, engine, live, rows, NOW + TURN)
    assert sorted(engine.asked[2:]) == ["job-000", "job-001", "job-002"]


def test_what_cannot_be_compared_does_not_stop_the_pass_and_an_engine_that_is_away_does() -> None:
    round_, engine, (live, rows) = DriftRound(), Drifting(), fleet(2)
    engine.error = EngineRejected("no")
    assert not look(round_, engine, live, rows, NOW)
    engine.error = EngineUnavailable("away")
    with pytest.raises(EngineUnavailable):
        look(round_, engine, live, rows, NOW + TURN)


# -- images that are renewed ---------------------------------------------------------------------------------------


class Registry:
    """An engine of which only `resolve` matters."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None

    def resolve(self, order: StandingOrder) -> Installed:
        self.asked.append(order.spec.image)
        if self.error is not None:
            raise self.error
        return Installed("", f"id-{len(self.asked)}")


def test_P4_an_image_is_asked_for_when_its_period_is_over_and_what_is_found_is_said(tmp_path: Path) -> None:
    history, registry, kicked = open_history(tmp_path / "reconciler.db"), Registry(), threading.Event()
    try:
        refresher = Refresher(lambda: registry, history, kicked.set)  # type: ignore[arg-type, return-value]
        _, rows = fleet(2)
        daily = replace(rows["job-000"].spec, pull_policy=PullPolicy.DAILY)
        rows["job-000"] = replace(rows["job-000"], spec=daily)
        refresher.look(rows, order_of, NOW + timedelta(hours=23))
        assert registry.asked == []
        refresher.look(rows, order_of, NOW + timedelta(hours=24))
        eventually(kicked.is_set)
        assert (registry.asked, dict(refresher.images)) == ([daily.image], {daily.image: "id-1"})
        refresher.look(rows, order_of, NOW + timedelta(hours=25))
        again = Refresher(lambda: registry, history, kicked.set)  # type: ignore[arg-type, return-value]
        again.look(rows, order_of, NOW + timedelta(hours=26))  # a restart does not ask sooner
        assert len(registry.asked) == 1
        registry.error = EngineRejected("no such tag", code="image-missing")
        refresher.look(rows, order_of, NOW + timedelta(hours=49))
        eventually(lambda: len(registry.asked) == 2)
        assert dict(refresher.images) == {daily.image: "id-1"}
    finally:
        history.close()


# -- log pumps -----------------------------------------------------------------------------------------------------


class Talking:
    """An engine whose following stream hangs until it is let go, and then goes on writing what it had."""

    def __init__(self) -> None:
        self.gate, self.following, self.fails = threading.Event(), threading.Event(), 0

    def logs(self, run_id: str, ref: str, cursor: str = "", follow: bool = True) -> Iterator[LogChunk]:
        if follow:
            yield LogChunk(b"first\n", "1")
            self.following.set()
            self.gate.wait(30.0)
            yield LogChunk(b"late\n", "2")
            return
        if self.fails:
            self.fails -= 1
            raise EngineUnavailable("reset")
        if cursor == "1":
            yield LogChunk(b"second\n", "2")


def test_a_stream_that_hangs_holds_nothing_up_and_what_it_says_later_is_not_written(tmp_path: Path) -> None:
    engine, path = Talking(), tmp_path / "run.log"
    pump = LogPump(engine, "r", "ref", path, 1 << 20)  # type: ignore[arg-type]
    pump.start()
    eventually(engine.following.is_set)
    pump.drain(timeout=0.05)
    assert pump.close(gap=False) == len(b"first\nsecond\n")
    engine.gate.set()
    pump._thread.join(5.0)
    assert not pump._thread.is_alive()
    assert path.read_bytes() == b"first\nsecond\n"


def test_R5_a_log_that_could_not_be_completed_is_completed_at_the_next_try(tmp_path: Path) -> None:
    engine, path = Talking(), tmp_path / "run.log"
    engine.fails = 1
    pumps = Pumps(lambda: engine, lambda: 1 << 20)  # type: ignore[arg-type, return-value]
    pumps.ensure("r", "ref", path)
    eventually(engine.following.is_set)
    engine.gate.set()
    with pytest.raises(EngineUnavailable):
        pumps.drain("r", "ref", path)
    pumps.drain("r", "ref", path)
    kept = pumps.close("r", gap=True)
    assert path.read_bytes().startswith(b"first\n") and path.read_bytes().endswith(GAP)
    assert kept == path.stat().st_size


# -- what people ask -----------------------------------------------------------------------------------------------


def test_a_request_whose_asker_has_given_up_is_not_carried_out(tmp_path: Path) -> None:
    world, served = World(tmp_path), []
    request = Request(lambda _loop, _now: served.append("done"))
    request.withdraw()
    world.loop.requests.put(request)
    world.rounds()
    assert served == []


def test_one_run_whose_definition_is_lost_does_not_stop_the_others(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.behave("nightly", duration=None)
    world.apply(cron("1 2 * * *"), cron("3 2 * * *", "other"))
    world.tick(65)
    world.retire("nightly")
    world.history._database._open_writer().execute(
        "DELETE FROM specs WHERE digest = ?", (world.runs("nightly")[0].digest,)
    )
    world.restart()
    world.tick(120)
    assert world.slots("other") == [("02:03:00", "ran", 1)]
    assert world.runs("nightly")[0].phase == "running"


def test_a_terminal_shows_as_much_of_a_commit_as_an_eye_needs_and_the_place_of_what_is_held() -> None:
    said = console_line(None, "", {"event": "job.held", "job": "a", "path": "a.yaml:1:1", "revision": "ab" * 20})
    assert said.endswith(" a  path=a.yaml:1:1 revision=abababababab")

"""Every engine, the memory one included, keeps the same promises: this suite is what makes them interchangeable."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event as Flag
from threading import Thread

import pytest

from reconciler.engine.base import BuildOrder, Engine
from reconciler.engine.memory_world import Behaviour
from reconciler.model.errors import EngineRejected, EngineUnavailable, NotOurs
from reconciler.model.job import PullPolicy
from reconciler.model.live import LivePhase
from reconciler.model.outputs import PartKind
from reconciler.model.service import Policy
from tests.contract.conftest import Lab, ended, eventually, log_of
from tests.kit.orders import (
    Act,
    digest,
    exits,
    ignores_term,
    kills_itself,
    run_order,
    sleeps,
    standing_order,
    takes,
    writes,
)

# -- images -----------------------------------------------------------------------------------------------------------


def test_an_engine_without_images_says_so_and_one_with_images_names_its_base(lab: Lab, engine: Engine) -> None:
    spec = replace(lab.spec(exits(0)), image="reconciler-test.invalid/none:1", pull_policy=PullPolicy.NEVER)
    order = BuildOrder(spec, "9f3c2e1", Policy())
    with pytest.raises(EngineRejected) as caught:
        engine.build(order, lambda _words: None)
    assert caught.value.hint
    assert caught.value.code == ("image-missing" if engine.name == "docker" else "build-unsupported")


# -- standing jobs --------------------------------------------------------------------------------------------------


def test_installing_shows_in_the_listing_with_digest_revision_and_owner(lab: Lab, engine: Engine) -> None:
    order = standing_order(lab.spec(exits(0)))
    installed = engine.install(order)
    state = engine.observe()
    job = state.jobs["demo/hello"]
    assert state.complete
    assert (job.digest, job.revision, job.owner, job.ref) == (order.digest, "9f3c2e1", "default", installed.ref)
    assert job.image_id == installed.image_id


def test_installing_the_same_order_twice_changes_nothing(lab: Lab, engine: Engine) -> None:
    order = standing_order(lab.spec(exits(0)))
    assert engine.install(order).ref == engine.install(order).ref
    assert list(engine.observe().jobs) == ["demo/hello"]
    assert engine.inspect_drift("demo/hello", order) == ()


def test_installing_another_digest_replaces_the_job(lab: Lab, engine: Engine) -> None:
    old, new = standing_order(lab.spec(exits(0))), standing_order(lab.spec(exits(3)))
    engine.install(old)
    engine.install(new)
    assert engine.observe().jobs["demo/hello"].digest == new.digest
    assert engine.inspect_drift("demo/hello", new) == ()


def test_jobs_whose_names_look_alike_do_not_meet(lab: Lab, engine: Engine) -> None:
    names = {"a/b-c", "a/b_c", "a-b/c", "a/b/c"}
    for name in names:
        engine.install(standing_order(lab.spec(exits(0), name)))
    engine.retire("a/b/c")
    assert set(engine.observe().jobs) == names - {"a/b/c"}


def test_retiring_removes_the_job_and_an_absent_one_is_success(lab: Lab, engine: Engine) -> None:
    engine.install(standing_order(lab.spec(exits(0))))
    engine.retire("demo/hello")
    assert engine.observe().jobs == {}
    engine.retire("demo/hello")
    engine.retire("never/was")


def test_P4_resolve_changes_nothing(lab: Lab, engine: Engine) -> None:
    engine.resolve(standing_order(lab.spec(exits(0))))
    state = engine.observe()
    assert (state.jobs, state.runs) == ({}, {})


def test_P4_a_refused_install_leaves_the_old_job_alone(lab: Lab, engine: Engine) -> None:
    good = standing_order(lab.spec(exits(0)))
    before = engine.install(good)
    bad = replace(
        good.spec, image="no-such-image:ever", pull_policy=PullPolicy.NEVER, script=None, command=("/no/such/program",)
    )
    lab.refuse_install()
    with pytest.raises(EngineRejected):
        engine.install(standing_order(bad))
    job = engine.observe().jobs["demo/hello"]
    assert (job.digest, job.ref) == (good.digest, before.ref)


def test_P5_installing_and_replacing_start_nothing(lab: Lab, engine: Engine) -> None:
    engine.install(standing_order(lab.spec(exits(0))))
    engine.install(standing_order(lab.spec(exits(3))))
    assert engine.observe().runs == {}


def test_P5_replacing_leaves_a_run_alone_and_it_keeps_its_spec(lab: Lab, engine: Engine) -> None:
    engine.install(standing_order(lab.spec(sleeps())))
    run_id, ref = lab.started(engine, sleeps())
    engine.install(standing_order(lab.spec(exits(3))))
    run = engine.observe().runs[run_id]
    assert (run.phase, run.ref) == (LivePhase.RUNNING, ref)
    engine.stop(run_id, ref, 10)
    assert ended(engine, run_id, ref).exit_code == 143


def test_P5_retiring_leaves_runs_alone(lab: Lab, engine: Engine) -> None:
    engine.install(standing_order(lab.spec(sleeps())))
    run_id, _ = lab.started(engine, sleeps())
    engine.retire("demo/hello")
    state = engine.observe()
    assert (state.jobs, state.runs[run_id].phase) == ({}, LivePhase.RUNNING)


def test_P6_what_somebody_removed_is_made_again(lab: Lab, engine: Engine) -> None:
    order = standing_order(lab.spec(exits(0)))
    engine.install(order)
    lab.engine().retire("demo/hello")  # behind the back of the first engine object
    assert engine.observe().jobs == {}
    engine.install(order)
    assert engine.observe().jobs["demo/hello"].digest == order.digest


def test_an_engine_says_whether_it_sees_the_files_of_this_host(engine: Engine) -> None:
    assert engine.shares_host is True  # of those here each does


# -- ownership ------------------------------------------------------------------------------------------------------


def test_P2_a_foreign_job_of_our_name_is_shown_as_taken_and_never_touched(lab: Lab, engine: Engine) -> None:
    stranger = lab.engine("stranger")
    theirs = stranger.install(standing_order(lab.spec(exits(0))))
    state = engine.observe()
    assert (list(state.jobs), list(state.taken)) == ([], ["demo/hello"])
    with pytest.raises(NotOurs):
        engine.install(standing_order(lab.spec(exits(3))))
    _ignoring_not_ours(lambda: engine.retire("demo/hello"))
    assert stranger.observe().jobs["demo/hello"].ref == theirs.ref


def test_P2_a_foreign_run_of_our_name_is_never_touched(lab: Lab, engine: Engine) -> None:
    stranger = lab.engine("stranger")
    run_id, ref = lab.started(stranger, sleeps())
    assert engine.observe().runs == {}
    with pytest.raises(NotOurs):
        engine.prepare(run_order(lab.spec(sleeps())))
    for touch in (engine.discard, engine.kill, engine.find_start, lambda r, f: engine.stop(r, f, 0)):
        for known_as in (ref, ""):
            _ignoring_not_ours(lambda verb=touch, name=known_as: verb(run_id, name))
    assert stranger.observe().runs[run_id].phase is LivePhase.RUNNING
    stranger.kill(run_id, ref)


def _ignoring_not_ours(act: Callable[[], object]) -> None:
    try:
        act()
    except NotOurs:
        pass  # an engine may say so, or see nothing of ours there


# -- starting, exactly once -----------------------------------------------------------------------------------------


def test_R1_preparing_starts_nothing_and_may_be_repeated(lab: Lab, engine: Engine) -> None:
    order, ref = lab.prepared(engine, exits(0))
    assert engine.prepare(order).ref == ref
    assert lab.engine().prepare(order).ref == ref
    run = engine.observe().runs[order.run_id]
    assert (run.phase, run.job, run.started_at, run.exit_code) == (LivePhase.CREATED, "demo/hello", None, None)
    assert log_of(engine, order.run_id, ref) == b""


def test_R1_preparing_from_many_threads_makes_one_run(lab: Lab, engine: Engine) -> None:
    order = run_order(lab.spec(exits(0)))
    with ThreadPoolExecutor(4) as pool:
        refs = {made.ref for made in pool.map(engine.prepare, [order] * 4)}
    assert [run.ref for run in engine.observe().runs.values()] == list(refs)


def test_R1_a_launched_run_starts_and_ends_with_its_instants(lab: Lab, engine: Engine) -> None:
    before = datetime.now(UTC)
    run_id, ref = lab.started(engine, takes(0.2))
    run = ended(engine, run_id, ref)
    assert run.started_at is not None
    assert run.finished_at is not None
    assert (before - run.started_at).total_seconds() < 0.1  # file systems stamp by the tick
    assert 0.1 < (run.finished_at - run.started_at).total_seconds() < 20


def test_R1_launching_twice_or_after_the_end_starts_nothing_more(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, exits(3))
    engine.launch(run_id, ref)
    assert ended(engine, run_id, ref).exit_code == 3
    again = engine.launch(run_id, ref)
    assert (again.phase, again.exit_code) == (LivePhase.EXITED, 3)
    assert lab.engine().launch(run_id, ref).phase is LivePhase.EXITED
    assert log_of(engine, run_id, ref) == b"ends with 3\n"


def test_R1_launches_from_many_threads_and_two_services_run_the_command_once(lab: Lab, engine: Engine) -> None:
    order, ref = lab.prepared(engine, takes(0.2))
    other = lab.engine()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit((engine, other)[i % 2].launch, order.run_id, ref) for i in range(8)]
    errors = [error for future in asked if (error := future.exception()) is not None]
    assert all(isinstance(error, EngineUnavailable) for error in errors)  # "unknown" is allowed, a second start is not
    assert len(errors) < len(asked)
    assert ended(engine, order.run_id, ref).exit_code == 0
    assert log_of(engine, order.run_id, ref) == b"up\n"


def test_R1_prepared_but_never_launched_provably_never_started_and_is_gone(lab: Lab, engine: Engine) -> None:
    order, ref = lab.prepared(engine, exits(0))
    assert lab.engine().find_start(order.run_id, ref) is None
    assert engine.observe().runs == {}
    assert engine.find_start(order.run_id, ref) is None
    assert engine.find_start("never.was.20261124T020000Z.1", "") is None


def test_R1_a_launched_run_is_found_running_and_then_ended(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, sleeps())
    after_restart = lab.engine()
    found = after_restart.find_start(run_id, ref)
    assert found is not None
    assert (found.phase, found.ref) == (LivePhase.RUNNING, ref)
    engine.stop(run_id, ref, 10)
    found = after_restart.find_start(run_id, ref)
    assert found is not None
    assert (found.phase, found.exit_code) == (LivePhase.EXITED, 143)
    assert log_of(engine, run_id, ref).count(b"up\n") == 1


def test_R1_find_start_knows_a_run_by_its_name_when_the_ref_was_not_recorded(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, sleeps())
    found = engine.find_start(run_id, "")
    assert found is not None
    assert found.ref == ref
    order, _ = lab.prepared(engine, exits(0), name="demo/other")
    assert engine.find_start(order.run_id, "") is None
    assert order.run_id not in engine.observe().runs


def test_R1_a_late_launch_of_a_removed_run_starts_nothing(lab: Lab, engine: Engine) -> None:
    order, ref = lab.prepared(engine, exits(0))
    assert lab.engine().find_start(order.run_id, ref) is None
    with pytest.raises(EngineRejected):
        engine.launch(order.run_id, ref)
    assert engine.observe().runs == {}


def test_R1_a_late_launch_does_not_start_a_new_run_of_the_same_name(lab: Lab, engine: Engine) -> None:
    order, old = lab.prepared(engine, exits(0))
    other = lab.engine()
    assert other.find_start(order.run_id, old) is None
    new = other.prepare(order).ref
    assert new != old
    with pytest.raises(EngineRejected):
        engine.launch(order.run_id, old)
    assert other.observe().runs[order.run_id].phase is LivePhase.CREATED


def test_R1_launch_and_find_start_at_once_agree(lab: Lab, engine: Engine) -> None:
    """Whatever the timing: found never started = the command never runs; else it runs once."""
    for attempt in range(1, 5):
        order = run_order(lab.spec(exits(0)), attempt=attempt)
        ref = engine.prepare(order).ref
        with ThreadPoolExecutor(2) as pool:
            asked = pool.submit(_launched, engine, order.run_id, ref)
            found = pool.submit(lab.engine().find_start, order.run_id, ref).result()
        if found is None:
            assert not asked.result()
            assert order.run_id not in engine.observe().runs
        else:
            ended(engine, order.run_id, ref)
            assert log_of(engine, order.run_id, ref) == b"ends with 0\n"


def _launched(engine: Engine, run_id: str, ref: str) -> bool:
    try:
        engine.launch(run_id, ref)
    except (EngineRejected, EngineUnavailable):
        return False
    return True


# -- how runs end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("act", "code"), [(exits(0), 0), (exits(3), 3), (kills_itself(), 137)], ids=["0", "3", "137"])
def test_R5_the_exit_code_is_the_commands(lab: Lab, engine: Engine, act: Act, code: int) -> None:
    run_id, ref = lab.started(engine, act)
    run = ended(engine, run_id, ref)
    assert (run.exit_code, run.oom, run.error) == (code, False, "")
    assert engine.observe().runs[run_id] == run  # the listing says the same


def test_R4_stop_sends_TERM_and_waits_for_the_end(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, sleeps())
    engine.stop(run_id, ref, 20)
    run = engine.inspect(run_id, ref)
    assert run is not None
    assert (run.phase, run.exit_code) == (LivePhase.EXITED, 143)
    assert b"got TERM\n" in log_of(engine, run_id, ref)


def test_R4_stop_sends_KILL_when_the_grace_is_over(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, ignores_term())
    engine.stop(run_id, ref, 0.3)
    run = engine.inspect(run_id, ref)
    assert run is not None
    assert (run.phase, run.exit_code) == (LivePhase.EXITED, 137)


def test_R4_kill_ends_a_run_at_once(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, ignores_term())
    engine.kill(run_id, ref)
    assert ended(engine, run_id, ref).exit_code == 137


def test_R4_stopping_what_is_absent_ended_or_never_started_is_success(lab: Lab, engine: Engine) -> None:
    for verb in (engine.kill, lambda run_id, ref: engine.stop(run_id, ref, 1)):
        verb("never.was.20261124T020000Z.1", "")
    order, ref = lab.prepared(engine, exits(0))
    engine.stop(order.run_id, ref, 1)
    engine.kill(order.run_id, ref)
    assert engine.observe().runs[order.run_id].phase is LivePhase.CREATED
    engine.launch(order.run_id, ref)
    ended(engine, order.run_id, ref)
    engine.stop(order.run_id, ref, 1)
    engine.kill(order.run_id, ref)
    assert ended(engine, order.run_id, ref).exit_code == 0


def test_R5_an_ended_run_stays_until_it_is_discarded(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, exits(0))
    ended(engine, run_id, ref)
    assert run_id in lab.engine().observe().runs
    engine.discard(run_id, ref)
    assert engine.observe().runs == {}
    assert engine.inspect(run_id, ref) is None
    engine.discard(run_id, ref)


def test_R5_a_running_run_is_not_discarded(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, sleeps())
    with pytest.raises(EngineRejected):
        engine.discard(run_id, ref)
    assert engine.observe().runs[run_id].phase is LivePhase.RUNNING


# -- output ---------------------------------------------------------------------------------------------------------


def test_R5_logs_are_complete_and_in_order(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, writes(400))
    ended(engine, run_id, ref)
    lines = log_of(engine, run_id, ref).decode().splitlines()
    wanted = [f"line {i}" for i in range(1, 401)]
    assert sorted(lines, key=lambda line: int(line.split()[1])) == wanted
    for odd in (0, 1):  # each stream is in order; two pipes of one container may overtake each other by a line
        assert [line for line in lines if int(line.split()[1]) % 2 == odd] == wanted[1 - odd :: 2]


def test_R5_following_a_log_ends_with_the_run_and_misses_nothing(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, sleeps())
    seen: list[bytes] = []
    follower = Thread(target=lambda: seen.extend(chunk.data for chunk in engine.logs(run_id, ref)))
    follower.start()
    eventually(lambda: b"up\n" in b"".join(seen))
    engine.stop(run_id, ref, 10)
    follower.join(20)
    assert not follower.is_alive()
    assert b"".join(seen) == log_of(engine, run_id, ref)
    assert b"got TERM\n" in b"".join(seen)


def test_R5_a_log_is_resumed_after_any_cursor(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, sleeps())
    first = list(engine.logs(run_id, ref, follow=False))
    engine.stop(run_id, ref, 10)
    whole = log_of(engine, run_id, ref)
    rest = list(lab.engine().logs(run_id, ref, first[-1].cursor))
    assert b"".join(chunk.data for chunk in [*first, *rest]) == whole
    assert list(engine.logs(run_id, ref, rest[-1].cursor)) == []


def test_R5_an_absent_run_has_no_log_and_no_usage(lab: Lab, engine: Engine) -> None:
    assert list(engine.logs("never.was.20261124T020000Z.1", "")) == []
    usage = engine.usage("never.was.20261124T020000Z.1", "")
    assert (usage.peak_memory, usage.cpu_seconds) == (None, None)
    assert engine.inspect("never.was.20261124T020000Z.1", "") is None


# -- restarts and kicks ---------------------------------------------------------------------------------------------


def test_R6_closing_the_engine_touches_no_run_and_the_next_one_adopts_everything(lab: Lab, engine: Engine) -> None:
    order = standing_order(lab.spec(sleeps()))
    engine.install(order)
    run_id, ref = lab.started(engine, sleeps())
    waiting, waiting_ref = lab.prepared(engine, exits(3), name="demo/waiting")
    engine.close()
    after_restart = lab.engine()
    state = after_restart.observe()
    assert state.jobs["demo/hello"].digest == digest(order.spec)
    assert {name: (run.phase, run.ref) for name, run in state.runs.items()} == {
        run_id: (LivePhase.RUNNING, ref),
        waiting.run_id: (LivePhase.CREATED, waiting_ref),
    }
    after_restart.launch(waiting.run_id, waiting_ref)
    assert ended(after_restart, waiting.run_id, waiting_ref).exit_code == 3
    after_restart.stop(run_id, ref, 10)
    assert ended(after_restart, run_id, ref).exit_code == 143


@pytest.mark.parametrize("adopted", [False, True], ids=["started here", "adopted"])
def test_R5_the_end_of_a_run_is_a_kick(lab: Lab, engine: Engine, adopted: bool) -> None:
    run_id, ref = lab.started(engine, sleeps())
    watching = lab.engine() if adopted else engine
    watching.observe()
    stop, kicks = Flag(), []

    def listen() -> None:
        for name in watching.events(stop):
            kicks.append(name)

    thread = Thread(target=listen)
    thread.start()
    eventually(lambda: kicks or not _kick(lab, engine))  # until it listens
    kicks.clear()
    engine.kill(run_id, ref)
    eventually(lambda: run_id in kicks or "" in kicks)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def _kick(lab: Lab, engine: Engine) -> None:
    """Something changes."""
    order, ref = lab.prepared(engine, exits(0), name="demo/kick")
    engine.discard(order.run_id, ref)


def test_the_preview_shows_the_final_argv_and_needs_no_engine(lab: Lab, engine: Engine) -> None:
    preview = engine.preview(lab.spec(exits(0)))
    assert preview.argv is not None
    assert "exit 0" in preview.argv[-1]


def test_ping_names_the_engine_in_one_line(engine: Engine) -> None:
    assert engine.name in engine.ping().lower()
    assert "\n" not in engine.ping()


# -- devices --------------------------------------------------------------------------------------------------------


def test_R2_a_run_shows_the_devices_that_it_was_made_with(lab: Lab, engine: Engine) -> None:
    order = run_order(lab.spec(exits(0)), devices=("GPU-a", "GPU-b"), policy=Policy(gpus=True))
    ref = engine.prepare(order).ref
    seen = engine.inspect(order.run_id, ref)
    assert seen is not None and seen.devices == ("GPU-a", "GPU-b")
    assert lab.engine().observe().runs[order.run_id].devices == ("GPU-a", "GPU-b")


def test_R2_what_was_made_for_other_devices_and_never_started_is_made_anew(lab: Lab, engine: Engine) -> None:
    order = run_order(lab.spec(exits(0)), devices=("GPU-a",), policy=Policy(gpus=True))
    old = engine.prepare(order).ref
    assert engine.prepare(order).ref == old
    fresh = engine.prepare(replace(order, devices=("GPU-b",))).ref
    assert fresh != old
    seen = engine.inspect(order.run_id, fresh)
    assert seen is not None and (seen.phase, seen.devices) == (LivePhase.CREATED, ("GPU-b",))
    assert engine.inspect(order.run_id, old) is None


def test_R2_what_has_started_keeps_its_devices(lab: Lab, engine: Engine) -> None:
    order, ref = lab.prepared(engine, sleeps())
    engine.launch(order.run_id, ref)
    assert engine.prepare(replace(order, devices=("GPU-b",), policy=Policy(gpus=True))).ref == ref


# -- outputs --------------------------------------------------------------------------------------------------------

LEAVES = Act(
    "cd $RECONCILER_OUTPUTS && ls -A && mkdir -m 700 sub && printf hello > sub/a && chmod 600 sub/a && printf 12 > b",
    Behaviour(outputs=(("sub/a", b"hello"), ("b", b"12"))),
)


def outputs_of(engine: Engine, run_id: str, ref: str, target: str = "/outputs") -> dict[str, bytes] | None:
    parts = engine.outputs(run_id, ref, target)
    if parts is None:
        return None
    return {part.path: b"".join(part.data) for part in parts if part.kind is PartKind.FILE}


def test_a_run_finds_an_empty_directory_and_what_it_leaves_there_is_read_after_its_end(
    lab: Lab, engine: Engine
) -> None:
    spec = lab.spec(LEAVES, outputs="/outputs", read_only=True, user="1234:1234")
    order = run_order(spec, environment=(("RECONCILER_OUTPUTS", "/outputs"),))
    ref = engine.prepare(order).ref
    assert engine.prepare(order).ref == ref
    engine.launch(order.run_id, ref)
    assert ended(engine, order.run_id, ref).exit_code == 0
    assert log_of(engine, order.run_id, ref) == b""
    assert outputs_of(engine, order.run_id, ref) == {"b": b"12", "sub/a": b"hello"}
    assert outputs_of(lab.engine(), order.run_id, ref) == {"b": b"12", "sub/a": b"hello"}
    engine.discard(order.run_id, ref)
    assert outputs_of(engine, order.run_id, ref) is None


def test_a_run_that_leaves_nothing_has_no_outputs(lab: Lab, engine: Engine) -> None:
    run_id, ref = lab.started(engine, exits(0), outputs="/outputs")
    ended(engine, run_id, ref)
    assert outputs_of(engine, run_id, ref) == {}

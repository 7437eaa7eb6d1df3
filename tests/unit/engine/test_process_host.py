"""A process job gets a clean environment, an unprivileged user, its files, a bounded log; what it lacks is said."""

import os
import pwd
import shutil
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine.process import ProcessEngine
from reconciler.engine.process_files import Layout
from reconciler.engine.process_proc import members
from reconciler.engine.process_spawn import job_user, spawn
from reconciler.engine.process_stage import fill_folder
from reconciler.model.errors import EngineRejected
from reconciler.model.job import FileMount, JobSpec, Mount, Resources
from reconciler.model.live import LivePhase
from tests.kit.orders import engine_context, make_spec, run_order, standing_order
from tests.unit.engine.process_kit import ended, engine_on, eventually, launched, output, run_folder, saying, text_of

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
LIMIT = 1024 * 1024

# -- environment ----------------------------------------------------------------------------------------------------


def test_the_environment_is_clean_and_the_jobs_own(process: ProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVICE", "x")
    names = set(output(process, "env | cut -d= -f1 | sort").split())
    ours = {"PATH", "HOME", "LANG", "RECONCILER_JOB", "RECONCILER_RUN_ID", "RECONCILER_PROCESS_REF"}
    assert names - {"PWD", "_", "SHLVL"} == ours


@pytest.mark.parametrize(
    "value",
    ["plain", "two words", "it's", '"$HOME" `id` $(id) \\', "a\nb\n\nc", "", "ümläut", "-n", "x" * 100_000],
    ids=["plain", "blanks", "a quote", "shell code", "newlines", "empty", "not ASCII", "a dash", "long"],
)
def test_values_reach_the_job_byte_by_byte(process: ProcessEngine, value: str) -> None:
    spec = make_spec("demo/x", 'printf "%s" "$VALUE"')
    order = replace(run_order(spec), environment=(("VALUE", value),))
    ref = process.prepare(order).ref
    process.launch(order.run_id, ref)
    ended(process, order.run_id, ref)
    assert text_of(process, order.run_id, ref) == value


def test_a_variable_that_would_load_code_never_reaches_what_runs_as_root(folder: Path, process: ProcessEngine) -> None:
    spec = make_spec("demo/x", "echo done")
    hostile = (("LD_PRELOAD", "/no/such/library.so"), ("PATH", "/usr/bin:/bin"))
    order = replace(run_order(spec), environment=hostile)
    ref = process.prepare(order).ref
    process.launch(order.run_id, ref)
    ended(process, order.run_id, ref)
    said = text_of(process, order.run_id, ref)
    assert "done\n" in said
    assert "setpriv" not in said  # the loader complains in the job's name only


def test_the_job_starts_in_a_folder_of_its_own_or_where_it_says(folder: Path, process: ProcessEngine) -> None:
    run_id, ref = launched(process, 'pwd; [ "$PWD" = "$HOME" ] && touch mine && echo writable')
    ended(process, run_id, ref)
    assert text_of(process, run_id, ref) == f"{run_folder(folder, run_id)}/work\nwritable\n"
    order = run_order(make_spec("demo/y", "pwd", working_dir="/usr"))
    ref = process.prepare(order).ref
    process.launch(order.run_id, ref)
    ended(process, order.run_id, ref)
    assert text_of(process, order.run_id, ref) == "/usr\n"


def test_a_program_that_vanished_is_exit_127_and_says_so(folder: Path, process: ProcessEngine) -> None:
    program = folder / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    order = run_order(make_spec("demo/x", None, command=(str(program),)))
    ref = process.prepare(order).ref
    program.unlink()
    process.launch(order.run_id, ref)
    assert ended(process, order.run_id, ref).exit_code == 127
    assert "not found" in text_of(process, order.run_id, ref)


# -- users ----------------------------------------------------------------------------------------------------------


@as_root
def test_a_service_that_is_root_runs_jobs_as_the_unprivileged_user(folder: Path, process: ProcessEngine) -> None:
    script = """
    id -un; id -Gn
    cat ../order.json && echo read the order
    ls ../.. && echo saw other runs
    echo x >>../log && echo wrote the log
    touch ../planted && echo made a file
    cd /; cd - >/dev/null && echo came back
    """
    said = output(process, script)
    user = pwd.getpwnam("nobody")
    assert said.splitlines()[0] == "nobody"
    for breach in ("read the order", "saw other runs", "wrote the log", "made a file"):
        assert breach not in said
    assert "came back" in said
    assert os.stat(run_folder(folder, "demo.x.20261124T020000Z.1") / "work").st_uid == user.pw_uid


@as_root
def test_no_new_privileges_where_the_host_has_setpriv(process: ProcessEngine) -> None:
    if not job_user("nobody").prefix:
        pytest.skip("this host has no setpriv that works")
    assert "NoNewPrivs:\t1" in output(process, "grep NoNewPrivs /proc/self/status")


@as_root
def test_without_setpriv_the_user_is_changed_all_the_same(folder: Path) -> None:
    files = Layout(engine_context(str(folder)), None)
    files.create()
    user = replace(job_user("nobody"), prefix=())
    order = run_order(make_spec("demo/x"))
    body = {"run_id": order.run_id, "ref": "0123456789abcdef"}
    place = files.folder(order.run_id)
    files.build(body, lambda draft: fill_folder(draft, place.path, order, user))
    spawn(place, "0123456789abcdef", "./work", ["/bin/sh", "-c", "id -un; id -Gn"], user)
    eventually(place.ended)
    assert place.log.read_text() == "nobody\nnogroup\n"


@as_root
def test_an_unknown_process_user_is_refused_with_its_code(folder: Path) -> None:
    with pytest.raises(EngineRejected) as refused:
        ProcessEngine(engine_context(str(folder)), process_user="no-such-user")
    assert refused.value.code == "process-user-unknown"


@as_root
def test_a_state_directory_that_the_user_cannot_reach_has_its_runs_elsewhere(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    engine = ProcessEngine(engine_context(str(closed / "state")))
    run_id, ref = saying(engine, 'cd "$HOME" && echo up; while :; do sleep 0.1; done')
    outside = run_folder(closed / "state", run_id).parent.parent
    assert outside.parent == Path("/var/tmp")
    engine.close()
    closed.chmod(0o711)  # a later service would choose otherwise, but its runs are there
    with engine_on(closed / "state") as after_restart:
        assert after_restart.observe().runs[run_id].phase is LivePhase.RUNNING
        after_restart.kill(run_id, ref)
        ended(after_restart, run_id, ref)
        after_restart.discard(run_id, ref)
        shutil.rmtree(outside)  # as a cleaner of old files would
        after_restart.ping()
        assert after_restart.observe().runs == {}
    assert not outside.exists()


@as_root
def test_a_folder_that_somebody_else_planted_is_not_used(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    context = engine_context(str(closed / "state"))
    planted = Path("/var/tmp") / f"reconciler-{context.instance_id}"
    planted.mkdir()
    os.chown(planted, 12345, 12345)
    try:
        with pytest.raises(Exception, match="not a folder of this service's user") as refused:
            ProcessEngine(context)
        assert refused.value.code == "engine-unavailable"  # type: ignore[attr-defined]
    finally:
        planted.rmdir()


@as_root
def test_no_root_is_needed(folder: Path) -> None:
    """The whole life of a run, and the end of one that daemonised, in a service that is not root."""
    os.chown(folder, 65534, 65534)
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            _life_of_a_run(folder)
            os.write(tell, b"fine")
        except BaseException:  # noqa: BLE001 - the child ends here, whatever it was
            os.write(tell, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as answer:
        assert answer.read() == "fine"
    os.waitpid(pid, 0)
    assert list(folder.glob("process/trash/*")) == []


def _life_of_a_run(folder: Path) -> None:
    with engine_on(folder) as engine:
        assert engine.ping() == "process engine, jobs run as nobody"
        assert output(engine, "id -un; exit 3") == "nobody\n"
        run_id, ref = saying(engine, "echo up; setsid sleep 600 & sleep 600", name="demo/y")
        engine.stop(run_id, ref, 5)
        assert ended(engine, run_id, ref).exit_code == 143
        assert not members(ref)
        ended(engine, *launched(engine, "mkdir -p a/b; chmod 0 a/b a", name="demo/z"))
        for run in engine.observe().runs.values():
            engine.discard(run.run_id, run.ref)
        assert engine.observe().runs == {}


# -- files ----------------------------------------------------------------------------------------------------------


def test_staged_files_are_copied_below_RECONCILER_FILES(folder: Path, process: ProcessEngine) -> None:
    source = folder / "query.sql"
    source.write_text("select 1\n")
    source.chmod(0o444)
    spec = make_spec(
        "demo/x", 'sleep 0.1; cat "$RECONCILER_FILES/app/query.sql"; echo x >"$RECONCILER_FILES/app/query.sql"'
    )
    order = run_order(spec, staged=((str(source), "/app/query.sql"),))
    ref = process.prepare(order).ref
    source.chmod(0o644)
    source.write_text("select 2\n")  # a later commit is staged: the run keeps what it was made with
    process.launch(order.run_id, ref)
    run = ended(process, order.run_id, ref)
    assert text_of(process, order.run_id, ref).startswith("select 1\n")
    assert run.exit_code != 0  # it is read-only


def test_P4_a_job_reads_its_files_whatever_their_mode(folder: Path, process: ProcessEngine) -> None:
    source = folder / "key"
    source.write_text("only mine\n")
    source.chmod(0o400)
    order = run_order(make_spec("demo/x", 'cat "$RECONCILER_FILES/key"'), staged=((str(source), "/key"),))
    ref = process.prepare(order).ref
    process.launch(order.run_id, ref)
    assert ended(process, order.run_id, ref).exit_code == 0
    assert text_of(process, order.run_id, ref) == "only mine\n"
    assert process.preview(replace(make_spec("demo/x"), files=(FileMount("/key", "x", 0o400),))).problems == ()


def test_a_target_that_climbs_out_is_refused(folder: Path, process: ProcessEngine) -> None:
    (folder / "x").write_text("")
    order = run_order(make_spec(), staged=((str(folder / "x"), "/../../state/exit"),))
    with pytest.raises(EngineRejected):
        process.prepare(order)
    assert process.observe().runs == {}


def test_a_file_that_is_not_staged_is_refused_at_install(folder: Path, process: ProcessEngine) -> None:
    with pytest.raises(EngineRejected):
        process.install(standing_order(make_spec(), staged=((str(folder / "missing"), "/app/x"),)))


# -- logs -----------------------------------------------------------------------------------------------------------


def test_a_log_of_200_MB_keeps_its_beginning_and_its_end_and_says_what_is_missing(folder: Path) -> None:
    script = "echo the beginning; head -c 200000000 /dev/zero | tr '\\0' '\\n'; echo the end; sleep 0.3; echo up"
    with engine_on(folder, log_limit=LIMIT) as engine:
        run_id, ref = saying(engine, script)
        log = run_folder(folder, run_id) / "log"
        ended(engine, run_id, ref)
        eventually(lambda: log.stat().st_blocks * 512 <= LIMIT + 2 * 65536)
        chunks = list(engine.logs(run_id, ref, follow=False))
        said = b"".join(chunk.data for chunk in chunks)
        assert said.startswith(b"the beginning\n")
        assert said.endswith(b"the end\nup\n")
        assert b"\0" not in said
        (notice,) = [line for line in said.split(b"\n") if line.startswith(b"[")]
        missing = int(notice[1:].split()[0])
        assert len(said) - len(notice) - 2 + missing == log.stat().st_size  # every byte is there or counted
        rest = b"".join(chunk.data for chunk in engine.logs(run_id, ref, chunks[5].cursor, follow=False))
        assert said.endswith(rest)
        inside = b"".join(chunk.data for chunk in engine.logs(run_id, ref, str(100_000_000), follow=False))
        assert inside.startswith(b"\n[")
        assert inside.endswith(b"the end\nup\n")


def test_a_run_that_keeps_writing_never_fills_the_disk(folder: Path) -> None:
    with engine_on(folder, log_limit=LIMIT) as engine:
        run_id, _ = saying(engine, "echo up; while :; do head -c 1000000 /dev/zero; sleep 0.02; done")
        log = run_folder(folder, run_id) / "log"
        eventually(lambda: log.stat().st_size > 20 * LIMIT)
        assert log.stat().st_blocks * 512 < 12 * LIMIT


def test_an_adopted_run_is_kept_within_its_limit_too(folder: Path) -> None:
    with engine_on(folder) as before:
        run_id, ref = saying(before, "echo up; head -c 30000000 /dev/zero; echo; echo written; sleep 600")
        log = run_folder(folder, run_id) / "log"
        eventually(lambda: log.stat().st_size > 30_000_000)
        before.close()
        with engine_on(folder, log_limit=LIMIT) as after:
            after.observe()
            eventually(lambda: log.stat().st_blocks * 512 <= LIMIT + 2 * 65536)
            assert text_of(after, run_id, ref).endswith("\nwritten\n")


# -- what the plan is told ------------------------------------------------------------------------------------------

UNHONOURED = {
    "volumes": {"mounts": (Mount("volume", "models", "/models"),)},
    "networks": {"networks": ("shop_default",)},
    "user": {"user": "999:999"},
    "cap_add": {"cap_add": ("NET_RAW",)},
    "read_only": {"read_only": True},
    "resources.cpus": {"resources": Resources(cpus=2)},
    "resources.memory": {"resources": Resources(memory=1 << 30)},
    "resources.pids_limit": {"resources": Resources(pids_limit=20)},
    "resources.shm_size": {"resources": Resources(shm_size=1 << 20)},
    "resources.cpus, resources.memory": {"resources": Resources(cpus=2, memory=1 << 30)},
    "files": {"files": (FileMount("/app/query.sql", "select 1"),)},
    "environment": {"environment": (("not.a.name", "x"),)},
    "command": {"script": None},
}


def warned(process: ProcessEngine, spec: JobSpec) -> list[str]:
    return [warning.split(":")[0] for warning in process.preview(spec).warnings]


@pytest.mark.parametrize("field", UNHONOURED, ids=[f"{field} is named if the job sets it" for field in UNHONOURED])
def test_what_is_not_honoured_is_a_warning_in_the_plan(process: ProcessEngine, field: str) -> None:
    assert warned(process, make_spec()) == ["image"]
    assert warned(process, make_spec(**UNHONOURED[field])) == ["image", field]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"script": None}, "command-missing"),
        ({"script": None, "command": ("no-such-program", "x")}, "command-missing"),
        ({"script": "x" * 200_000}, "argument-too-long"),
        ({"working_dir": "/no/such/folder"}, "working-dir-missing"),
    ],
    ids=["no command", "a program that is not here", "a script too long", "a folder that is not here"],
)
def test_P4_what_cannot_run_here_is_refused_before_anything_changes(
    process: ProcessEngine, fields: dict[str, object], code: str
) -> None:
    for act in (
        lambda: process.resolve(standing_order(make_spec(**fields))),
        lambda: process.install(standing_order(make_spec(**fields))),
        lambda: process.prepare(run_order(make_spec(**fields))),
    ):
        with pytest.raises(EngineRejected) as refused:
            act()
        assert refused.value.code == code
        assert refused.value.hint
    state = process.observe()
    assert (state.jobs, state.runs) == ({}, {})

"""On the process engine whatever goes down, service, supervisor or host, starts no run twice and loses none."""

import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest

from reconciler.engine.process import ProcessEngine
from reconciler.engine.process_files import Seal
from reconciler.engine.process_proc import members
from reconciler.model.errors import EngineRejected, EngineUnavailable, NotOurs
from reconciler.model.live import LivePhase
from tests.kit.orders import SLOT, engine_context, make_spec, run_order, standing_order
from tests.unit.engine.process_kit import (
    ended,
    engine_on,
    eventually,
    launched,
    output,
    run_folder,
    saying,
    text_of,
    working_in,
)

LOST = "host or supervisor went down"
FOREVER = "echo up; while :; do sleep 0.1; done"


def supervisor_of(folder: Path, run_id: str) -> int:
    (path,) = (run_folder(folder, run_id) / "state").glob("supervisor.*")
    return int(path.suffix[1:])


# -- the service goes down ------------------------------------------------------------------------------------------


def test_R1_a_service_killed_at_any_point_of_a_launch_leaves_one_run_or_none(folder: Path) -> None:
    found = None
    for step, delay in enumerate([*(0.0005 * i for i in range(20)), 0.02, 0.05, 0.5]):
        order = run_order(make_spec("demo/x", "echo once; sleep 0.2"), slot=SLOT + timedelta(minutes=step))
        with engine_on(folder) as engine:
            ref = engine.prepare(order).ref
            _launch_in_a_service_killed_after(delay, folder, order.run_id, ref)
            found = engine.find_start(order.run_id, ref)
            if found is None:
                eventually(lambda ref=ref: not members(ref))  # a supervisor may still be on its way to its refusal
                assert not run_folder(folder, order.run_id).exists()
            else:
                assert ended(engine, order.run_id, ref).exit_code == 0
                assert text_of(engine, order.run_id, ref) == "once\n"
    assert found is not None  # the last kill came long after the start


def _launch_in_a_service_killed_after(seconds: float, folder: Path, run_id: str, ref: str) -> None:
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            engine = ProcessEngine(engine_context(str(folder)))
            os.write(tell, b".")
            engine.launch(run_id, ref)
            time.sleep(60)
        finally:
            os._exit(1)
    os.read(told, 1)
    time.sleep(seconds)  # not to wait for something: the instant of the kill is the parameter
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(told)
    os.close(tell)


def test_R1_a_supervisor_that_comes_after_find_start_runs_nothing(folder: Path, process: ProcessEngine) -> None:
    """The launch was in flight when the service died: it must find the claim taken, or its folder gone."""
    order = run_order(make_spec("demo/x", "echo ran >&2"))
    ref = process.prepare(order).ref
    place = run_folder(folder, order.run_id)
    late = os.open(place, os.O_RDONLY | os.O_DIRECTORY)  # what a spawned child holds before it runs
    assert process.find_start(order.run_id, ref) is None
    again = process.prepare(order).ref  # the same name once more
    text = Path("reconciler/engine/supervisor.sh").resolve().read_text()
    done = subprocess.run(
        ["/bin/sh", "-c", text, "late", ref, "./work", "/bin/sh", "-c", "echo ran"],
        cwd=f"/proc/self/fd/{late}", pass_fds=[late], capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    os.close(late)
    assert (done.returncode, done.stdout) == (1, b"")
    misled = subprocess.run(
        ["/bin/sh", "-c", text, "late", ref, "./work", "/bin/sh", "-c", "echo ran"],
        cwd=place, capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    assert (misled.returncode, misled.stdout) == (1, b"")
    assert process.launch(order.run_id, again).started_at is not None  # the new one was not used up


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh"])
def test_the_supervisor_works_in_every_common_shell(folder: Path, process: ProcessEngine, shell: str) -> None:
    order = run_order(make_spec("demo/x", "unused"))
    ref = process.prepare(order).ref
    text = Path("reconciler/engine/supervisor.sh").resolve().read_text()
    command = ["/bin/sh", "-c", "trap 'echo got TERM; exit 9' TERM; echo up; while :; do sleep 0.1 || :; done"]
    try:
        child = subprocess.Popen(
            [*shell.split(), "-c", text, "run", ref, "./work", *command],
            cwd=run_folder(folder, order.run_id), start_new_session=True, env={"RECONCILER_PROCESS_REF": ref},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip(f"this host has no {shell}")
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        process.stop(order.run_id, ref, 20)
        assert b"got TERM\n" in child.stdout.read()
    run = process.inspect(order.run_id, ref)
    assert run is not None
    assert (run.phase, run.exit_code) == (LivePhase.EXITED, 9)
    assert process.usage(order.run_id, ref).cpu_seconds is not None


def test_no_zombies_and_no_open_files_are_left(process: ProcessEngine) -> None:
    files = len(os.listdir("/proc/self/fd"))
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = set(children.read_text().split())  # the tests' own Engine may be a child of this process
    for i in range(20):
        ended(process, *launched(process, "true", name=f"demo/x{i}"))
    eventually(lambda: set(children.read_text().split()) <= before)
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= files)


def test_200_runs_due_at_once_all_run_once(process: ProcessEngine) -> None:
    orders = [run_order(make_spec(f"demo/x{i}", f"echo {i}")) for i in range(200)]
    refs = [process.prepare(order).ref for order in orders]
    for order, ref in zip(orders, refs, strict=True):
        process.launch(order.run_id, ref)
    eventually(lambda: all(run.phase is LivePhase.EXITED for run in process.observe().runs.values()))
    assert {run.exit_code for run in process.observe().runs.values()} == {0}
    for i in (0, 99, 199):
        assert text_of(process, orders[i].run_id, refs[i]) == f"{i}\n"


# -- a supervisor or the host goes down -----------------------------------------------------------------------------


def test_R1_a_killed_supervisor_makes_the_run_lost_and_ends_its_command(folder: Path, process: ProcessEngine) -> None:
    run_id, ref = saying(process, FOREVER)
    os.kill(supervisor_of(folder, run_id), signal.SIGKILL)
    run = ended(process, run_id, ref)
    assert (run.exit_code, run.finished_at, run.error) == (None, None, LOST)
    assert not members(ref)
    assert process.find_start(run_id, ref) == run


def test_R1_after_a_restart_of_the_host_a_run_without_an_end_is_lost(folder: Path, process: ProcessEngine) -> None:
    run_id, ref = saying(process, FOREVER)
    process.kill(run_id, ref)
    state = run_folder(folder, run_id) / "state"
    (state / "exit").write_bytes(b" " * 15 + b"\n")  # what a power cut would have left
    _pretend_another_boot(folder, run_id)
    (supervisor,) = state.glob("supervisor.*")
    supervisor.write_text(f"{os.getpid()} 1 another-boot\n")
    run = process.inspect(run_id, ref)
    assert run is not None
    assert (run.phase, run.exit_code, run.error) == (LivePhase.EXITED, None, LOST)


def test_R1_a_start_that_the_host_may_have_lost_is_lost_and_not_guessed(folder: Path, process: ProcessEngine) -> None:
    order = run_order(make_spec("demo/x", "echo ran"))
    ref = process.prepare(order).ref
    _pretend_another_boot(folder, order.run_id)
    for _ in range(2):
        run = process.find_start(order.run_id, ref)
        assert run is not None
        assert (run.phase, run.exit_code, run.started_at, run.error) == (LivePhase.EXITED, None, None, LOST)
    assert process.launch(order.run_id, ref).phase is LivePhase.EXITED
    assert text_of(process, order.run_id, ref) == ""


def _pretend_another_boot(folder: Path, run_id: str) -> None:
    context = engine_context(str(folder))
    seal = Seal(context.instance_id, context.key)
    path = run_folder(folder, run_id) / "order.json"
    body = seal.open(path.read_bytes())
    assert body is not None
    path.write_bytes(seal.close({**body, "boot": "another-boot"}))


def test_a_reused_process_id_is_nobody_of_ours(folder: Path, process: ProcessEngine) -> None:
    """Neither a number alone nor a job's false word about its supervisor makes us signal somebody else."""
    run_id, ref = saying(process, FOREVER)
    os.kill(supervisor_of(folder, run_id), signal.SIGKILL)
    ended(process, run_id, ref)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as bystander:
        start = Path(f"/proc/{bystander.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        forged = run_folder(folder, run_id) / "state" / f"supervisor.{bystander.pid}"
        forged.write_text(f"{bystander.pid} {start} {boot}\n")
        run = process.inspect(run_id, ref)
        assert run is not None
        assert run.phase is LivePhase.EXITED
        process.stop(run_id, ref, 0)
        process.kill(run_id, ref)
        assert bystander.poll() is None
        bystander.kill()


def test_what_a_job_plants_in_its_state_folder_is_read_without_harm(folder: Path, process: ProcessEngine) -> None:
    script = "cd ../state; rm -f exit usage; ln -s /etc/passwd usage; mkfifo exit; mkfifo supervisor.1; echo up"
    run_id, ref = launched(process, script)
    run = ended(process, run_id, ref)
    assert (run.exit_code, run.error) == (None, LOST)
    assert process.usage(run_id, ref).cpu_seconds is None
    process.discard(run_id, ref)
    assert process.observe().runs == {}


# -- stopping -------------------------------------------------------------------------------------------------------


def test_R4_TERM_reaches_the_whole_group(process: ProcessEngine) -> None:
    child = "trap 'echo child got TERM; exit' TERM; echo up; while :; do sleep 0.1 || :; done"
    run_id, ref = saying(process, f'sh -c "{child}" & trap "wait; exit 7" TERM; wait')
    process.stop(run_id, ref, 10)
    assert ended(process, run_id, ref).exit_code == 7
    assert "child got TERM\n" in text_of(process, run_id, ref)


@pytest.mark.parametrize(
    "escape",
    ["setsid sh -c '{0}'", "setsid sh -c 'setsid sh -c \"{0}\" &' &", "env -u RECONCILER_PROCESS_REF sh -c '{0}'"],
    ids=["a new session", "a daemon", "without the mark"],
)
def test_R4_what_leaves_the_group_is_stopped_too(folder: Path, process: ProcessEngine, escape: str) -> None:
    inner = escape.format("trap : TERM; echo up; while :; do sleep 0.05 || :; done")
    run_id, ref = saying(process, f"{inner}\nsleep 60")
    process.stop(run_id, ref, 0.2)
    assert ended(process, run_id, ref).exit_code in (137, 143)
    size = len(text_of(process, run_id, ref))
    assert not members(ref)
    eventually(lambda: not working_in(folder, run_id))  # whatever its environment says
    assert len(text_of(process, run_id, ref)) == size


@pytest.mark.parametrize("left", ["sleep 600", "env -i sleep 600"], ids=["marked", "without the mark"])
def test_what_a_command_leaves_behind_ends_with_it(folder: Path, process: ProcessEngine, left: str) -> None:
    run_id, ref = launched(process, f"{left} & exit 4")
    assert ended(process, run_id, ref).exit_code == 4
    eventually(lambda: not members(ref))
    eventually(lambda: not working_in(folder, run_id))


@pytest.mark.parametrize("size", [0, 1 << 30])
def test_a_job_that_cuts_or_stretches_its_log_costs_the_service_no_time(
    folder: Path, process: ProcessEngine, size: int
) -> None:
    run_id, ref = saying(process, FOREVER)
    spent: list[float] = []

    def follow() -> None:
        begun = time.thread_time()
        for _ in process.logs(run_id, ref):
            pass
        spent.append(time.thread_time() - begun)

    follower = Thread(target=follow)
    follower.start()
    eventually(lambda: (run_folder(folder, run_id) / "log").stat().st_size)
    os.truncate(run_folder(folder, run_id) / "log", size)
    time.sleep(2.0)
    process.stop(run_id, ref, 5.0)
    follower.join(20)
    assert not follower.is_alive() and spent[0] < 0.5, spent


def test_a_stop_while_the_log_is_followed_ends_the_stream(process: ProcessEngine) -> None:
    run_id, ref = saying(process, FOREVER)
    seen: list[bytes] = []
    thread = Thread(target=lambda: seen.extend(chunk.data for chunk in process.logs(run_id, ref)))
    thread.start()
    process.kill(run_id, ref)
    thread.join(20)
    assert b"".join(seen) == b"up\n"


def test_R5_an_adopted_run_that_ends_is_a_kick_at_once(folder: Path, process: ProcessEngine) -> None:
    run_id, ref = saying(process, "echo up; while [ ! -e go ]; do sleep 0.02; done")
    with engine_on(folder) as adopting:
        adopting.observe()
        stop, kicks = Flag(), []
        thread = Thread(target=lambda: kicks.extend(iter(adopting.events(stop))))
        thread.start()
        (run_folder(folder, run_id) / "work/go").touch()
        ended(adopting, run_id, ref)
        eventually(lambda: not adopting._watcher._watched)  # its thread has dealt with the end
        stop.set()
        thread.join(20)
        assert run_id in kicks


# -- ownership ------------------------------------------------------------------------------------------------------


def test_P2_a_changed_job_file_is_no_longer_ours(folder: Path, process: ProcessEngine) -> None:
    order = standing_order(make_spec())
    process.install(order)
    path = folder / "process/jobs/demo.hello.json"
    path.write_text(path.read_text().replace("9f3c2e1", "0000000"))
    state = process.observe()
    assert (state.jobs, state.taken) == ({}, {"demo/hello": str(path)})
    for verb in (lambda: process.install(order), lambda: process.retire("demo/hello")):
        with pytest.raises(NotOurs):
            verb()
    assert "0000000" in path.read_text()


def test_P2_a_changed_order_is_no_longer_ours(folder: Path, process: ProcessEngine) -> None:
    order = run_order(make_spec())
    ref = process.prepare(order).ref
    path = run_folder(folder, order.run_id) / "order.json"
    path.write_text(path.read_text().replace("echo hello", "echo other"))
    for verb in (process.launch, process.find_start, process.discard, process.inspect):
        with pytest.raises(NotOurs):
            verb(order.run_id, ref)
    assert process.observe().runs == {}


def test_P3_a_new_revision_of_the_same_job_keeps_the_object(process: ProcessEngine) -> None:
    spec = make_spec()
    ref = process.install(standing_order(spec)).ref
    assert process.install(standing_order(spec, revision="41d7a90")).ref == ref
    assert process.observe().jobs["demo/hello"].revision == "41d7a90"
    assert process.inspect_drift("demo/hello", standing_order(spec, revision="52b8c17")) == ()
    assert process.inspect_drift("demo/hello", standing_order(make_spec(script="echo other"))) != ()


# -- a disk that is full --------------------------------------------------------------------------------------------


def test_a_full_disk_loses_no_exit_code_and_refuses_with_its_code(folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        with engine_on(disk) as engine:
            run_id, ref = launched(engine, "cat /dev/zero >full 2>/dev/null || exit 5")
            assert ended(engine, run_id, ref).exit_code == 5
            with pytest.raises(EngineUnavailable) as refused:
                engine.prepare(run_order(make_spec("demo/next", "echo " + "x" * 9000)))
            assert refused.value.code == "disk-full"
            assert set(engine.observe().runs) == {run_id}  # no half-made one
            engine.discard(run_id, ref)
            assert output(engine, "echo again") == "again\n"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_name_too_long_for_this_host_is_refused_for_good(process: ProcessEngine) -> None:
    name = "/".join(["x" * 60] * 5)
    for act in (
        lambda: process.install(standing_order(make_spec(name))),
        lambda: process.prepare(run_order(make_spec(name))),
    ):
        with pytest.raises(EngineRejected) as refused:
            act()
        assert refused.value.code == "name-too-long"


def test_times_are_utc_and_now(process: ProcessEngine) -> None:
    run_id, ref = launched(process, "true")
    run = ended(process, run_id, ref)
    assert run.started_at is not None
    assert abs((datetime.now(UTC) - run.started_at).total_seconds()) < 60

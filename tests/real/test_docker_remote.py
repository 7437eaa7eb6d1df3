"""Promise: on an Engine that does not see this host's files a run finds the same code and files as on one that does;
nothing of it stays there, and what the job's image does with it opens nothing of that host."""

import hashlib
import io
import os
import re
import secrets
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.engine.base import RunOrder
from reconciler.engine.docker import DockerEngine
from reconciler.engine.docker_client import Clients, Timeouts
from reconciler.engine.docker_core import Core
from reconciler.engine.docker_workspace import Workspaces
from reconciler.model.errors import EngineRejected, EngineUnavailable, NotOurs
from reconciler.model.live import LivePhase, LiveRun
from reconciler.model.workspace import Bind
from tests.conftest import CI
from tests.kit.docker_engine import IMAGE, clean_up, eventually, make_context, output_of
from tests.kit.orders import make_spec, run_order, standing_order
from tests.kit.standing import unpackers, volumes
from tests.lab.images import ensure_busybox, image_with_tar, import_image, static_busybox, with_libraries
from tests.lab.relay import relay
from tests.lab.remote_dockerd import make_certificates, remote_engine

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]
PATIENT = Timeouts(call=20.0, start=30.0, pull=60.0, idle=20.0)


@pytest.fixture
def client(remote: str) -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url=remote, version="1.41", timeout=30)
    yield client
    client.close()


class Bench:
    """Engines of one instance on the remote one, and what they are to send."""

    def __init__(self, folder: Path, remote: str, engine_paths: str = "", socket: str = "") -> None:
        self.folder, self.remote, self._open = folder, remote, ExitStack()
        self.socket = socket or remote  # for what the test itself does there
        self.context = make_context(folder / "state")
        self.tree = folder / "tree"
        (self.tree / "sub" / "deeper").mkdir(parents=True)
        (self.tree / "main.sh").write_text("echo code\n")
        (self.tree / "main.sh").chmod(0o750)
        (self.tree / "sub" / "link").symlink_to("../main.sh")
        (folder / "app.ini").write_text("a = b\n")
        (folder / "app.ini").chmod(0o440)
        (folder / "other.ini").write_text("c = d\n")
        self.engine = self.another(engine_paths)

    def another(self, engine_paths: str = "") -> DockerEngine:
        """What a restarted service has."""
        ensure_busybox(self.socket)
        engine = DockerEngine(self.context, owned=lambda _ref: False, docker_host=self.remote, timeouts=PATIENT,
                              engine_paths=engine_paths)  # fmt: skip
        self._open.callback(engine.close)
        return engine

    @contextmanager
    def hurried(self, **timeouts: float) -> Iterator[DockerEngine]:
        """What gives up after a few seconds."""
        engine = DockerEngine(self.context, owned=lambda _ref: False, docker_host=self.remote,
                              timeouts=replace(PATIENT, **{"idle": 2.0, "pull": 8.0, **timeouts}))  # fmt: skip
        with closing(engine):
            yield engine

    def order(self, script: str = "true", image: str = IMAGE, **fields: Any) -> RunOrder:
        order = run_order(make_spec(script=script, image=image, networks=("none",), **fields))
        staged = ((str(self.folder / "app.ini"), "/etc/app.ini"), (str(self.folder / "other.ini"), "/code/sub/it.ini"))
        return replace(order, workspace=(Bind(str(self.tree), "/code", read_only=False),), staged=staged)

    def ran(self, order: RunOrder) -> tuple[str, str]:
        """To its end; its log and ref."""
        ref = self.engine.prepare(order).ref
        self.engine.launch(order.run_id, ref)

        def look() -> LiveRun | None:
            live = self.engine.inspect(order.run_id, ref)
            return live if live is not None and live.phase is LivePhase.EXITED else None

        live = eventually(look)
        log = output_of(self.engine, order.run_id, ref).decode()
        assert live.exit_code == 0, log
        return log, ref

    def close(self) -> None:
        self._open.close()
        clean_up(self.socket, self.context.instance)


@pytest.fixture
def bench(hidden: Path, remote: str) -> Iterator[Bench]:
    folder = hidden / secrets.token_hex(4)
    folder.mkdir()
    bench = Bench(folder, remote)
    yield bench
    bench.close()


def test_the_lab_is_true_a_bind_of_our_path_fails_there(bench: Bench, client: docker.APIClient) -> None:
    mount = {"Type": "bind", "Source": str(bench.tree), "Target": "/code"}
    with pytest.raises(docker.errors.APIError, match="bind source path does not exist"):
        client.create_container(IMAGE, host_config={"Mounts": [mount]})


def test_a_run_finds_directories_and_files_as_they_are_here_and_may_change_its_own(
    bench: Bench, client: docker.APIClient
) -> None:
    script = """cd /code; stat -c '%n %A %u:%g' main.sh sub sub/deeper sub/it.ini /etc/app.ini
    readlink sub/link; sh sub/link; cat sub/it.ini /etc/app.ini
    echo changed > sub/new && cat sub/new
    echo x 2>/dev/null > /etc/app.ini || echo read-only; ls /etc/passwd"""
    log, ref = bench.ran(bench.order(script))
    assert log.splitlines() == [
        "main.sh -rwxr-x--- 0:0", "sub drwxr-xr-x 0:0", "sub/deeper drwxr-xr-x 0:0", "sub/it.ini -rw-r--r-- 0:0",
        "/etc/app.ini -r--r----- 0:0", "../main.sh", "code", "c = d", "a = b", "changed", "read-only", "/etc/passwd",
    ]  # fmt: skip
    assert sorted(path.name for path in (bench.tree / "sub").iterdir()) == ["deeper", "link"]
    assert client.inspect_container(ref)["State"]["ExitCode"] == 0
    assert unpackers(client, bench.context.instance) == []


def test_a_socket_that_leads_elsewhere_is_no_other_than_a_port(hidden: Path, docker_host: str) -> None:
    (folder := hidden / secrets.token_hex(4)).mkdir()
    bench = Bench(folder, docker_host, "separate")
    try:
        assert bench.ran(bench.order("cat /code/sub/link /etc/app.ini"))[0] == "echo code\na = b\n"
    finally:
        bench.close()


def test_an_engine_that_is_said_to_be_here_binds_what_is_here(bench: Bench, client: docker.APIClient) -> None:
    with pytest.raises(EngineRejected) as caught:
        bench.another("shared").prepare(bench.order())
    assert caught.value.code == "bind-missing"
    assert volumes(client, bench.context.instance) == []


@pytest.mark.parametrize("order", ["a run that has ended", "one that never started"])
def test_what_was_sent_goes_with_the_run(bench: Bench, client: docker.APIClient, order: str) -> None:
    made = bench.order()
    ref = bench.ran(made)[1] if "ended" in order else bench.engine.prepare(made).ref
    assert len(volumes(client, bench.context.instance)) == 2
    if "ended" in order:
        bench.engine.discard(made.run_id, ref)
    else:
        assert bench.engine.find_start(made.run_id, ref) is None
    assert volumes(client, bench.context.instance) == []


def test_the_tar_of_GNU_does_as_that_of_busybox_and_gives_links_away_too(
    bench: Bench, client: docker.APIClient
) -> None:
    image = f"{bench.context.instance}-gnu:1"
    import_image(client, image, ["ENV PATH=/usr/local/bin:/bin"], with_libraries("tar"))
    os.chown(bench.tree / "sub" / "link", 1234, 50, follow_symlinks=False)
    (bench.tree / "sub" / ("n" * 200)).mkdir(mode=0o700)
    (bench.tree / "sub" / ("n" * 200) / "ü").write_text("x")
    script = """/usr/local/bin/tar --version | head -n 1; cd /code
    stat -c '%A %u:%g' main.sh sub/link sub/n*; cat sub/n*/ü /etc/app.ini"""
    log, _ = bench.ran(bench.order(script, image=image))
    assert log.splitlines()[1:] == ["-rwxr-x--- 0:0", "lrwxrwxrwx 1234:50", "drwx------ 0:0", "xa = b"]
    assert log.startswith("tar (GNU tar)")


def test_a_user_that_is_not_root_gets_what_is_given_to_it(bench: Bench) -> None:
    for path in (bench.tree, *bench.tree.rglob("*"), bench.folder / "app.ini"):
        os.chown(path, 1234, 1234, follow_symlinks=False)
    script = "cd /code; touch new; stat -c %u:%g . main.sh sub; cat /etc/app.ini"
    log, _ = bench.ran(bench.order(script, user="1234:1234"))
    assert log.splitlines() == ["1234:1234", "1234:1234", "1234:1234", "a = b"]


def test_preparing_again_sends_nothing_again(bench: Bench, client: docker.APIClient) -> None:
    order = bench.order()
    first = bench.engine.prepare(order)
    made = {name: client.inspect_volume(name)["CreatedAt"] for name in volumes(client, bench.context.instance)}
    (bench.tree / "main.sh").write_text("echo other\n")
    again = bench.another().prepare(order)
    assert again.ref == first.ref
    assert made == {name: client.inspect_volume(name)["CreatedAt"] for name in volumes(client, bench.context.instance)}


def test_what_somebody_has_pruned_is_made_anew(bench: Bench, client: docker.APIClient) -> None:
    order = bench.order("cat /etc/app.ini")
    first = bench.engine.prepare(order).ref
    gone = [name for name in client.prune_volumes()["VolumesDeleted"] if name.startswith(bench.context.instance)]
    assert len(gone) == 1 and gone[0].endswith("-files")
    log, ref = bench.ran(order)
    assert (log, ref != first) == ("a = b\n", True)


def test_half_filled_volumes_are_made_anew(bench: Bench, client: docker.APIClient) -> None:
    order = bench.order("ls /code")
    bench.ran(order)
    (bench.tree / "of an earlier try").write_text("")
    client.remove_container(
        client.containers(all=True, filters={"label": f"io.reconciler.run={order.run_id}"})[0]["Id"]
    )
    (bench.tree / "of an earlier try").unlink()
    assert bench.ran(order)[0].split() == ["main.sh", "sub"]


def test_a_restarted_service_removes_what_has_no_container_and_nothing_else(
    bench: Bench, client: docker.APIClient
) -> None:
    gone, kept = bench.order(), bench.order(name="demo/kept")
    theirs = f"{bench.context.instance}.WORKSPACE-theirs-0"
    bench.engine.prepare(kept)
    client.remove_container(bench.engine.prepare(gone).ref)
    copied = client.inspect_volume(volumes(client, bench.context.instance)[0])["Labels"]
    client.create_volume(theirs, labels=copied)
    assert bench.engine.tidy((), 1e9) == ()  # what this process has made is none of a tidying's business
    assert bench.another().tidy((), 1e9) == (gone.run_id,)
    left = volumes(client, bench.context.instance)
    assert theirs in left and len([name for name in left if kept.run_id in name]) == 2 and len(left) == 3


def test_tidying_waits_for_no_run_that_is_being_made_ready(bench: Bench, client: docker.APIClient) -> None:
    """One thread tidies and applies: it would apply nothing for as long as a tar takes."""
    image = image_with_tar(client, bench.folder, f"{bench.context.instance}-slow:1", "#!/bin/sh\nexec sleep 600\n")
    left, slow = bench.order(), bench.order(name="demo/slow", image=image)
    client.remove_container(bench.engine.prepare(left).ref)
    fresh = Workspaces(Core(bench.context, lambda _ref: False, Clients(bench.remote, PATIENT)))
    with ThreadPoolExecutor(2) as pool:
        try:
            preparing = pool.submit(bench.engine.prepare, slow)
            eventually(lambda: [u for u in unpackers(client, bench.context.instance) if u["State"] == "running"])
            assert pool.submit(bench.engine.tidy, (), 1e9).result(timeout=10) == ()
            with fresh.busy(left.run_id), fresh.busy(slow.run_id):  # before either was sent anything
                assert pool.submit(fresh.tidy).result(timeout=10) == ()
            assert not preparing.done()
        finally:
            client.kill(unpackers(client, bench.context.instance)[0]["Id"])
        with pytest.raises(EngineRejected, match="tar ended with 137"):
            preparing.result(timeout=60)
    assert set(fresh.tidy()) == {left.run_id, slow.run_id}


def test_P2_a_foreign_volume_of_our_name_is_an_error_and_not_touched(bench: Bench, client: docker.APIClient) -> None:
    order = bench.order()
    name = f"{bench.context.instance}.WORKSPACE-{order.run_id}-0"
    client.create_volume(name, labels={"theirs": "yes"})
    with pytest.raises(NotOurs, match="not ours"):
        bench.engine.prepare(order)
    assert client.inspect_volume(name)["Labels"] == {"theirs": "yes"}
    assert unpackers(client, bench.context.instance) == []


def test_an_image_without_tar_says_so(bench: Bench, client: docker.APIClient) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.add(static_busybox(), "bin/busybox")
    client.import_image_from_data(data.getvalue(), repository="without-tar", tag="1")
    with pytest.raises(EngineRejected) as caught:
        bench.engine.prepare(bench.order(image="without-tar:1"))
    assert caught.value.code == "unpack-no-tar" and "tar" in caught.value.hint
    assert unpackers(client, bench.context.instance) == []


TARS = {
    "it fails": ("echo first; echo the reason >&2; exit 3", "tar ended with 3: the reason"),
    "it puts a link where a file shall be": ("cat >/dev/null; ln -s /etc/shadow /to/files/1", "leave files"),
    "it puts a directory there": ("cat >/dev/null; mkdir /to/files/1", "leave files"),
    "it changes a file": ('busybox tar "$@"; echo more >> /to/files/1', "leave files"),
    "it adds a file": ('busybox tar "$@"; echo more > /to/files/0', "leave files"),
    "it makes one file of two": ('busybox tar "$@"; ln -f /to/files/1 /to/files/2', "leave files"),
    "it does nothing": ("exit 0", "ended before it had taken all|leave files"),
}


@pytest.mark.parametrize("name", TARS)
def test_S2_what_an_image_makes_of_the_files_is_never_bound_unseen(
    bench: Bench, client: docker.APIClient, name: str
) -> None:
    script, why = TARS[name]
    image = image_with_tar(client, bench.folder, f"{bench.context.instance}-tar:1", f"#!/bin/sh\n{script}\n")
    order = bench.order(image=image)
    with pytest.raises(EngineRejected) as caught:
        bench.engine.prepare(order)
    assert caught.value.code == "unpack-failed" and re.search(why, str(caught.value)), caught.value
    assert bench.engine.inspect(order.run_id, "") is None
    assert unpackers(client, bench.context.instance) == []
    bench.engine.discard(order.run_id, "")
    assert volumes(client, bench.context.instance) == []


@pytest.mark.parametrize("script", ["head -c 512 | busybox tar -x -C /to", "cat >/dev/null", "exit 0"])
def test_half_of_the_code_is_never_taken_for_all_of_it(bench: Bench, client: docker.APIClient, script: str) -> None:
    image = image_with_tar(client, bench.folder, f"{bench.context.instance}-half:1", f"#!/bin/sh\n{script}\n")
    with pytest.raises(EngineRejected, match=r"ended before it had taken all|leave all that is sent") as caught:
        bench.engine.prepare(replace(bench.order(image=image), staged=()))
    assert caught.value.code == "unpack-failed"


LAST = {
    "bytes that are no text": lambda tree: (tree / os.fsdecode(b"zz\xff.txt")).write_text("x"),
    "a link that leads to itself": lambda tree: (tree / "zz").symlink_to("zz"),
    "a link that leads nowhere": lambda tree: (tree / "zz").symlink_to("/absent/zz"),
}


@pytest.mark.parametrize("name", LAST)
def test_whatever_a_tree_has_as_its_last_name_a_run_gets_it(bench: Bench, name: str) -> None:
    LAST[name](bench.tree)
    log, _ = bench.ran(replace(bench.order("cd /code; ls -A"), staged=()))
    assert [line[:2] for line in log.splitlines()] == ["ma", "su", "zz"]


STUCK = {
    "it reads nothing": "exec sleep 600",
    "it reads some": "head -c 100000 >/dev/null; exec sleep 600",
    "it takes all and does not end": "cat >/dev/null; exec sleep 600",
    "a file where a directory shall be": "cat >/dev/null; touch /to/0/sub",
}


@pytest.mark.parametrize("name", STUCK)
def test_what_an_image_makes_of_it_is_never_taken_for_a_fault_of_the_engine(
    bench: Bench, client: docker.APIClient, name: str
) -> None:
    """EngineUnavailable would keep every job from this Engine."""
    (bench.tree / "main.sh").write_bytes(bytes(20 << 20))
    script = f"#!/bin/sh\n{STUCK[name]}\n"
    image = image_with_tar(client, bench.folder, f"{bench.context.instance}-stuck:1", script)
    with bench.hurried(pull=600.0) as engine, pytest.raises(EngineRejected) as caught:
        engine.prepare(replace(bench.order(image=image), staged=()))
    assert caught.value.code == "unpack-failed" and "its tar does not" in str(caught.value)
    assert unpackers(client, bench.context.instance) == []


@pytest.mark.parametrize("resets", [False, True], ids=["nobody is told", "the connection ends"])
@pytest.mark.parametrize("most", [0, 512, 1 << 20], ids=["nothing", "up to an entry", "in the middle"])
def test_what_a_network_loses_on_its_way_is_noticed_and_sent_again(
    hidden: Path, remote: str, client: docker.APIClient, most: int, resets: bool
) -> None:
    (folder := hidden / secrets.token_hex(4)).mkdir()
    with relay(remote) as between:
        bench = Bench(folder, between.address)
        (bench.tree / "large").write_bytes(bytes(4 << 20))
        order = replace(bench.order("wc -c < /code/large"), staged=())
        try:
            between.most, between.resets = most, resets
            with pytest.raises((EngineRejected, EngineUnavailable)):
                bench.engine.prepare(order)
            between.most = None
            assert bench.ran(order)[0] == f"{4 << 20}\n"
            assert unpackers(client, bench.context.instance) == []
        finally:
            bench.close()


def test_S2_what_unpacks_sees_the_volumes_alone_and_has_no_network(bench: Bench, client: docker.APIClient) -> None:
    script = """#!/bin/sh
    cat >/dev/null; touch /x 2>/dev/null && echo writable
    echo $(ls /sys/class/net) $(grep -c " /to/" /proc/mounts) $(grep CapEff /proc/self/status) >&2; exit 9"""
    image = image_with_tar(client, bench.folder, f"{bench.context.instance}-look:1", script)
    with pytest.raises(EngineRejected, match="tar ended with 9: lo 2 CapEff: 000000000000000b"):
        bench.engine.prepare(bench.order(image=image))


def test_a_deadline_ends_it(bench: Bench, client: docker.APIClient) -> None:
    (bench.tree / "large").write_bytes(bytes(20 << 20))
    slow = "#!/bin/sh\nwhile head -c 65536 >/dev/null; do sleep 0.2; done\n"
    image = image_with_tar(client, bench.folder, f"{bench.context.instance}-slow:1", slow)
    with bench.hurried(idle=20.0, pull=2.0) as quick, pytest.raises(EngineRejected, match="the time is up"):
        quick.prepare(bench.order(image=image))
    assert unpackers(client, bench.context.instance) == []


def test_a_standing_job_with_files_is_installed_and_does_not_drift(bench: Bench) -> None:
    order = replace(standing_order(make_spec()), staged=((str(bench.folder / "app.ini"), "/etc/app.ini"),))
    installed = bench.engine.install(order)
    assert bench.engine.inspect_drift("demo/hello", order) == ()
    assert bench.engine.install(order).ref == installed.ref


def test_over_TLS_both_sides_are_checked_and_all_of_it_arrives(
    hidden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = make_certificates(tmp_path / "tls"), make_certificates(tmp_path / "another-authority")
    with remote_engine([hidden], install=CI, tls=ours) as remote:
        (folder := hidden / secrets.token_hex(4)).mkdir()
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(ours))
        bench = Bench(folder, remote.address, socket=remote.socket)
        data = secrets.token_bytes(20 << 20)
        (bench.tree / "large").write_bytes(data)
        try:
            log, ref = bench.ran(order := bench.order("sha256sum < /code/large; cat /etc/app.ini"))
            assert log.split() == [hashlib.sha256(data).hexdigest(), "-", "a", "=", "b"]
            bench.engine.discard(order.run_id, ref)
            here = docker.APIClient(base_url=remote.socket, version="1.41", timeout=30)
            image = image_with_tar(here, folder, f"{bench.context.instance}-no:1", "#!/bin/sh\nexit 127\n")
            with bench.hurried(pull=60.0) as engine, pytest.raises(EngineRejected, match="no tar"):
                engine.prepare(bench.order(image=image))
            monkeypatch.setenv("DOCKER_CERT_PATH", str(theirs))
            with pytest.raises(EngineUnavailable):
                bench.another().ping()
            monkeypatch.delenv("DOCKER_TLS_VERIFY")
            with pytest.raises((EngineUnavailable, EngineRejected)):
                bench.another().ping()
        finally:
            bench.close()

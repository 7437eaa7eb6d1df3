"""One storm: a service, its repository, a real Engine behind a faulty socket, and what the script does to them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import docker

from reconciler.daemon.holds import HELD
from reconciler.model.job import ScheduleKind
from tests.kit.docker_engine import clean_up
from tests.kit.firing import settled
from tests.kit.service import ServiceChild, eventually
from tests.kit.standing import api, run_containers
from tests.lab.dockerd import Handle
from tests.lab.faultproxy import EVENTS, FaultProxy, Rule
from tests.lab.gitrepo import GitRepo
from tests.lab.http import unix_status

from .foreign import Foreign
from .script import BROKEN, REQUESTS, SECONDS, Storm, job_file

CALM_WITHIN = 150.0  # seconds in which all must have come to rest once nothing goes wrong any more
STREAMS = {"events": EVENTS, "logs": REQUESTS["logs"], "any": "."}


class Broken(AssertionError):
    """A rule does not hold."""


class Traced(ServiceChild):
    """A service that may begin its next life as one that is killed at a call of its own."""

    call = ""  # the strace expression for `inject`, "" = not traced

    def argv(self, *words: str) -> list[str]:
        plain = super().argv(*words)
        if words[0] != "serve" or not self.call:
            return plain
        name = self.call.partition(":")[0]
        # -D: the tracer is a grandchild, so that this child is the service itself.
        return ["strace", "-D", "-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null", "-e", f"trace={name}",
                "-e", f"inject={self.call}", *plain]  # fmt: skip

    def close(self) -> None:
        """Ends tracers, too: one whose service dies while it attaches waits for ever."""
        super().close()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if words[0] == b"strace" and str(self.file).encode() in words:
                    os.kill(int(path.parent.name), signal.SIGKILL)


class World:
    """`live()` lets the storm pass, `settle()` waits until all is calm; both raise AssertionError."""

    def __init__(self, storm: Storm, folder: Path, engine: Handle, instance: str) -> None:
        self.storm, self.folder, self.engine, self.instance = storm, folder, engine, instance
        self.host = engine.docker_host
        self.repo = GitRepo(folder / "jobs")
        self.versions = dict.fromkeys(storm.jobs, 1)  # of each job that is in git and valid
        self.broken: dict[str, int] = {}  # job whose file is invalid -> its last valid version
        self.ever = list(storm.jobs)
        self.repo.commit({f"jobs.d/{name}.yaml": job_file(name, 1) for name in storm.jobs})
        self.proxy = FaultProxy(str(folder / "p.sock"), self.host.removeprefix("unix://"))
        self.proxy.serve()
        self.foreign = Foreign(self.host, instance, folder)
        self.service = Traced(folder, self.repo.path, instance=instance, docker_host=self.proxy.docker_host)
        self.begun = 0.0
        self.expected_death = False
        self.again_after = 0.5  # seconds from its death to its next life
        self.crashes: list[tuple[datetime, datetime]] = []  # of the Engine: from its death until it answered again
        self.deaths = 0
        self.asked: list[subprocess.Popen[bytes]] = []
        self.told: list[str] = []  # what was done, with the seconds at which it was
        self.mended_at = datetime.now(UTC)
        self.kept_at: dict[str, tuple[str, datetime]] = {}  # held job -> (its digest, since when)

    # -- the storm ------------------------------------------------------------------------------------------------
    def live(self) -> None:
        self.service.start().reachable()
        eventually(lambda: any(run.started_at for run in self.service.runs("strict")), "the first run")
        self.begun = time.monotonic()
        for happening in self.storm.happenings:
            self._until(happening.at)
            self._note(str(happening))
            getattr(self, happening.kind)(*happening.said)
        self._until(SECONDS)

    def _until(self, at: float) -> None:
        while time.monotonic() < self.begun + at:
            self._keep_alive()
            time.sleep(0.02)

    def _keep_alive(self) -> None:
        """Start it again if it was killed."""
        if self.service.alive:
            return
        code = self.service.ended()
        if not (self.expected_death or (self.service.call and code == -signal.SIGKILL)):
            raise Broken(f"the service ended by itself with {code}: {self.service.tail()}")
        self._note(f"it has died ({code})")
        self.deaths += 1
        self.expected_death, self.service.call = False, ""
        time.sleep(self.again_after)
        self.service.spawn()

    def _note(self, what: str) -> None:
        self.told.append(f"{time.monotonic() - self.begun:6.2f}  {what}")

    # -- what may happen: what the Engine's socket does --------------------------------------------------------------
    def fault(self, action: str, request: str, skip: int, times: int, seconds: float) -> None:
        self.proxy.add(Rule(REQUESTS[request], action, times, skip, seconds=seconds))

    def truncate(self, request: str, size: int) -> None:
        self.proxy.add(Rule(REQUESTS[request], "cut_after", bytes=size))
        self.proxy.cut(STREAMS.get(request, REQUESTS[request]))

    def cut(self, stream: str) -> None:
        self.proxy.cut(STREAMS[stream])

    # -- the service ------------------------------------------------------------------------------------------------
    def kill_at_request(self, action: str, request: str, skip: int, seconds: float) -> None:
        self.proxy.add(Rule(REQUESTS[request], action, 1, skip, seconds=seconds, then=self._kill))

    def kill(self, pause: float = 0.5) -> None:
        self.again_after = pause
        self._kill()

    def kill_at_call(self, name: str, count: int) -> None:
        """It dies now, and again when a thread of its next life makes this call the `count`th time."""
        self._kill()
        self.service.ended()
        self.expected_death = False
        self.deaths += 1
        self.service.call = f"{name}:signal=KILL:when={count}"
        self.service.spawn()

    def _kill(self) -> None:
        self.expected_death = True
        if self.service.child is not None and self.service.alive:
            self.service.child.send_signal(signal.SIGKILL)

    def end(self, pause: float) -> None:
        """TERM, which takes its time where the Engine hangs."""
        self.again_after, self.expected_death = pause, True
        if self.service.child is not None and self.service.alive:
            self.service.child.send_signal(signal.SIGTERM)

    # -- people -----------------------------------------------------------------------------------------------------
    def prune(self, what: str) -> None:
        with api(self.host) as client, contextlib.suppress(docker.errors.APIError, OSError):
            client.prune_containers() if what == "containers" else client.prune_networks()

    def edit(self, name: str) -> None:
        if name in self.versions:
            self._commit(name, self.versions[name] + 1)

    def break_file(self, name: str) -> None:
        if name in self.versions:
            version = self.versions.pop(name)
            self.broken[name] = version
            self.repo.commit({f"jobs.d/{name}.yaml": job_file(name, version + 1) + BROKEN})

    def delete(self, name: str) -> None:
        if name in self.versions:
            del self.versions[name]
            self.repo.commit({f"jobs.d/{name}.yaml": None})

    def add(self, like: str) -> None:
        name = f"{like}-{len(self.ever)}"
        self.ever.append(name)
        self._commit(name, 1)

    def _commit(self, name: str, version: int) -> None:
        self.versions[name] = version
        self.repo.commit({f"jobs.d/{name}.yaml": job_file(name, version)})

    def ask(self, job: str, key: str) -> None:
        """A person starts a run, if the service happens to answer."""
        self.asked.append(subprocess.Popen(
            self.service.argv("run", job, "--key", key), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2],
        ))  # fmt: skip

    # -- the Engine -------------------------------------------------------------------------------------------------
    def freeze(self, seconds: float) -> None:
        self.engine.freeze()
        try:
            time.sleep(seconds)
        finally:
            self.engine.thaw()

    def crash(self, pause: float) -> None:
        began = datetime.now(UTC)
        self.engine.kill()
        time.sleep(pause)
        self.engine.start()
        self.crashes.append((began, datetime.now(UTC)))

    # -- the calm after it ------------------------------------------------------------------------------------------
    def settle(self) -> None:
        """Nothing goes wrong any more. Returns when everything has come to its end."""
        self.proxy.mend()
        eventually(lambda: unix_status(self.host.removeprefix("unix://"), "/_ping") == 200, "the Engine answers")
        if self.service.call and self.service.alive:  # it has not come as far as the call at which it would die
            self.kill()
        for child in self.asked:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(30.0)
            child.kill()
            child.wait()
        self._calm(self._answers, "the service answers")
        # What a late request leaves after the last listing would be found within minutes, by the next one.
        eventually(lambda: self.proxy.owed == 0, "the Engine has been asked what was late", within=30.0)
        self._calm(lambda: self.service.run("apply").returncode in (0, 2), "apply is answered")
        if self.broken:
            self._look_at_held()
        self.mended_at = datetime.now(UTC)
        for name, version in self.broken.items():
            self._commit(name, version + 2)
        self._calm(self.converged, "git, ledger and Engine agree")
        now = datetime.now(UTC)
        for name in self.service.standing():
            self._calm(lambda name=name: self._settled(name, now), f"the slots of {name} are settled")
        self.service.cli("pause", "--all")
        self._calm(lambda: not self.service.open_runs(), "every run is ended, kept and removed")
        self._calm(lambda: not self.left(), "no container of a run is left")

    def _settled(self, name: str, now: datetime) -> bool:
        if self.service.standing()[name].spec.schedule.kind is not ScheduleKind.MANUAL:
            return settled(self.service, name, now)
        return not any(run.job == name and run.slot <= now for run in self.service.open_runs())

    def left(self) -> list[str]:
        """Names of containers of runs that the Engine has, strangers that look like one excepted."""
        found = run_containers(self.host, self.instance).values()
        return [each.name for each in found if each.ref not in self.foreign.ids]

    def _answers(self) -> bool:
        self._keep_alive()
        return self.service.status() is not None

    def _calm(self, look: object, what: str) -> None:
        def there() -> bool:
            if not self.service.alive:
                self._keep_alive()
            return bool(look())  # type: ignore[operator]

        eventually(there, what, within=CALM_WITHIN)

    def wanted(self) -> dict[str, str]:
        """Job -> the word in its script that tells its version."""
        return {name: f"version {version};" for name, version in self.versions.items()}

    def converged(self) -> bool:
        rows, wanted = self.service.standing(), self.wanted()
        return rows.keys() == wanted.keys() and all(
            word in (rows[name].spec.script or "") for name, word in wanted.items()
        )

    def _look_at_held(self) -> None:
        """What is held keeps the version that it has now, and goes on firing with it."""
        held = {name for name in self.broken if name in self.service.standing()}
        self._calm(lambda: held <= json.loads(self.service.meta(HELD) or "{}").keys(), f"{sorted(held)} are held")
        since = datetime.now(UTC)
        self.kept_at = {name: (self.service.standing()[name].digest, since) for name in held}
        for name in held:
            if self.service.standing()[name].spec.schedule.kind is not ScheduleKind.MANUAL:
                self._calm(lambda name=name: self._decided_since(name, since), f"{name} fires on")
        for name, (digest, _) in self.kept_at.items():
            if self.service.standing()[name].digest != digest:
                raise Broken(f"D2: the held job {name} has changed")

    def _decided_since(self, name: str, since: datetime) -> bool:
        return any(run.slot > since for run in self.service.runs(name))

    def close(self) -> None:
        for child in self.asked:
            child.kill()
            child.wait()
        self.service.close()
        self.proxy.close()

    def counts(self) -> Counter[str]:
        return Counter(
            deaths=self.deaths, harms=len(self.proxy.harm), late=self.proxy.carried_out,
            runs=sum(run.started_at is not None for name in self.ever for run in self.service.runs(name)),
        )  # fmt: skip

    def keep(self, to: Path) -> None:
        """Everything that tells what happened."""
        shutil.copytree(self.folder, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
        (to / "requests").write_text("\n".join(
            f"{at - self.begun:8.3f} {line}" for at, line in zip(self.proxy.at, self.proxy.requests, strict=False)
        ))  # fmt: skip
        (to / "told").write_text("\n".join([*self.told, *self.proxy.harm]))


@contextlib.contextmanager
def world(storm: Storm, folder: Path, engine: Handle, instance: str) -> Iterator[World]:
    made = World(storm, folder, engine, instance)
    try:
        yield made
    finally:
        made.close()
        made.foreign.remove()
        clean_up(engine.docker_host, instance)

"""Images that people ask for (`reconciler build`): a few at once, one for each owner, each in a thread of its own.

Whoever asked looks how it goes; a build that nobody has looked at for a while ends before its next step.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from ..engine.base import BuildOrder, Built, Engine
from ..model.errors import Permanent, ReconcilerError, Transient, UsageError
from ..model.event import EventName
from ..model.ids import run_id
from ..model.job import JobSpec, Packages
from ..model.live import StandingJob
from ..model.run import CodeAt, Phase, RunRecord, Trigger
from ..model.service import ServiceConfig
from ..spec.admission import admit, effective_policy
from ..spec.naming import fault
from ..workspace.base import Part
from ..workspace.packages import with_files
from .events import EventStream
from .fleet import Fleet

AT_ONCE, REMEMBERED, MOST_SAID = 2, 32, 100
WATCHED = 60.0  # seconds without a look at it after which nobody waits for a build any more
EXAMPLE = "reconciler-build/owner/job:key"  # what an image is called that was given no name


@dataclass(frozen=True, slots=True)
class BuildAsked:
    job: str
    name: str = ""  # "" = one that we make
    push: bool = False
    start_script: bool = False


@dataclass(slots=True)
class Build:
    """One that was asked for. `built` or `error` is set when it is done."""

    id: str
    asked: BuildAsked
    actor: str
    job: StandingJob
    seen: float
    said: list[str] = field(default_factory=list)
    code: tuple[CodeAt, ...] = ()
    built: Built | None = None
    error: ReconcilerError | None = None

    @property
    def done(self) -> bool:
        return self.built is not None or self.error is not None


class Builds:
    """Called from the server's threads. `code` makes checkouts."""

    def __init__(self, *, engine: Callable[[], Engine], fleet: Fleet, code: Part, emit: EventStream) -> None:
        self._engine, self._fleet, self._code, self._emit = engine, fleet, code, emit
        self._lock = threading.Lock()
        self._builds: OrderedDict[str, Build] = OrderedDict()

    def start(self, asked: BuildAsked, actor: str) -> str:
        """Begin; the build's id. Raises Permanent, Transient."""
        view = self._fleet.view
        job = view.standing.get(asked.job)
        if job is None:
            raise Permanent(f"cannot build an image of {asked.job}: no such job is applied", code="job-unknown",
                            hint="'reconciler jobs --all' lists them")  # fmt: skip
        check(asked, job.spec, view.config)
        build = Build(secrets.token_hex(8), asked, actor, job, time.monotonic())
        with self._lock:
            active = [other for other in self._builds.values() if not other.done]
            own = [other.asked.job for other in active if other.job.owner == job.owner]
            if own or len(active) >= AT_ONCE:
                why = f"{own[0]} is being built" if own else f"{len(active)} of other owners are being built"
                raise Transient(f"cannot build an image of {asked.job} now: {why}",
                                code="service-busy", hint="try again when it is done")  # fmt: skip
            self._builds[build.id] = build
            over = [other.id for other in self._builds.values() if other.done]  # AT_ONCE bounds the others
            for old in over[: max(0, len(self._builds) - REMEMBERED)]:
                del self._builds[old]
        threading.Thread(target=self._work, args=(build, view.config), name="build", daemon=True).start()
        return build.id

    def look(self, build_id: str) -> Build:
        """How it goes. Raises Permanent (`build-unknown`)."""
        with self._lock:
            build = self._builds.get(build_id)
        if build is None:
            raise Permanent("cannot look at this build: the service has been started since, or many builds later",
                            code="build-unknown", hint="its log says `image.built`, or why not")  # fmt: skip
        build.seen = time.monotonic()
        return build

    def _work(self, build: Build, config: ServiceConfig) -> None:
        job, asked = build.job, build.asked
        try:
            spec = self._with_lists(build, config)
            order = BuildOrder(
                spec, job.revision, effective_policy(config, spec.owner), job.image_id, job.image_digest, asked.name,
                asked.push, asked.start_script, (*spec.environment, ("RECONCILER_JOB", spec.name)),
            )  # fmt: skip
            built = self._engine().build(order, lambda words: _say(build, words))
        except ReconcilerError as error:
            self._emit.emit(EventName.IMAGE_FAILED, job=job.name, actor=build.actor, code=error.code, error=str(error),
                            hint=error.hint)  # fmt: skip
            build.error = error
            return
        self._emit.emit(EventName.IMAGE_BUILT, job=job.name, actor=build.actor, image=built.name,
                        image_id=built.image_id, digest=built.digest, revision=job.revision)  # fmt: skip
        build.built = built

    def _with_lists(self, build: Build, config: ServiceConfig) -> JobSpec:
        """The job with the lists of packages that stand in files of its code, as it is now."""
        job, spec = build.job, build.job.spec
        if not spec.packages.files:
            return spec
        _say(build, "the code, for its lists of packages")
        now = datetime.now(UTC)
        run = RunRecord(f"BUILD.{run_id(job.name, now, 1)}", job.name, now, 1, Trigger.MANUAL, build.actor, job.digest,
                        job.revision, Phase.PREPARING, now)  # fmt: skip
        try:
            made = self._code.make(run, spec, config)
            build.code = made.code
            for item in made.code:
                _say(build, f"{item.ref} of {item.url} is {item.commit}")
            return with_files(spec, made)
        finally:
            self._code.drop(run.run_id)


def _say(build: Build, words: str) -> None:
    """A step begins."""
    if time.monotonic() - build.seen > WATCHED:
        raise Transient(f"cannot go on with the image of {build.asked.job}: nobody waits for it any more",
                        code="build-abandoned", hint="ask for it again: what was made is used again")  # fmt: skip
    if len(build.said) < MOST_SAID:
        build.said.append(words)


def check(asked: BuildAsked, spec: JobSpec, config: ServiceConfig) -> None:
    """What is known to fail is refused before anything is made. Raises Permanent, UsageError."""
    if spec.exec_in:
        raise Permanent(f"cannot build an image of {spec.name}: it runs in {spec.exec_in}", code="build-nothing",
                        hint="whoever has that container has its image")  # fmt: skip
    wrong = fault(asked.name) if asked.name else "has no name to be pushed to: --tag NAME" if asked.push else ""
    if wrong:
        raise UsageError(f"cannot build an image of {spec.name}: {asked.name or 'it'} {wrong}",
                         hint="--tag registry.example.org/team/name:tag")  # fmt: skip
    if asked.start_script and spec.start_script is None:
        raise Permanent(f"cannot build an image of {spec.name}: it has no start_script", code="build-nothing",
                        hint="leave out --with-start-script")  # fmt: skip
    if not spec.packages.managers and not asked.start_script:
        hint = "pin it as it is: `image: name:tag@sha256:...`; `reconciler show` of a run tells the digest"
        raise Permanent(f"cannot build an image of {spec.name}: it installs no packages", code="build-nothing",
                        hint=hint)  # fmt: skip
    pinned = replace(spec, image=asked.name or EXAMPLE, packages=Packages())
    refused = next(iter((*admit(spec, config), *admit(pinned, config))), None)
    if refused is not None:
        raise Permanent(f"cannot build an image of {spec.name}: {refused.message}", code=refused.code,
                        hint=refused.hint)  # fmt: skip


def pinned(built: Built, spec: JobSpec, config: ServiceConfig) -> str:
    """What a job file is to name as its `image`: by digest, with its tag only where policy asks for one."""
    if not built.digest:
        return built.name
    short = f"{built.name.rpartition(':')[0]}@{built.digest}"
    allowed = not admit(replace(spec, image=short, packages=Packages()), config)
    return short if allowed else f"{built.name}@{built.digest}"

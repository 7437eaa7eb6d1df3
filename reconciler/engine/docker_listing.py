"""In: one filtered listing of the Engine. Out: the standing jobs and runs in it that are provably ours (rule P2).

The rows tell nearly all; only an ended run is inspected, once, for its exit code, times and OOM flag.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..model.ids import is_job_name, undotted
from ..model.live import LiveJob, LivePhase, LiveRun, LiveState
from . import labels
from .base import EngineContext
from .docker_drift import STARTED
from .labels import Kind, Mark

_EXITED = re.compile(r"Exited \((\d+)\)")
_PHASES = {
    "created": LivePhase.CREATED, "running": LivePhase.RUNNING, "paused": LivePhase.RUNNING,
    "restarting": LivePhase.RUNNING, "exited": LivePhase.EXITED, "dead": LivePhase.EXITED,
}  # fmt: skip
Proof = tuple[str, str, LiveJob]  # the name and the MAC of a row, and what was made of it
HALF_MADE = "an interrupted replacement left a container behind"


@dataclass(frozen=True, slots=True)
class Sources:
    """What the parser asks beside the rows: whose an object is, an ended run in full, a known start, jobs in work."""

    context: EngineContext
    recognise: Callable[[Mapping[str, str], str, str], Mark | None]  # (labels, name, id)
    ended: Callable[[str, str], LiveRun | None]  # (run id, ref)
    started_at: Callable[[str], datetime | None]
    busy: Callable[[str], bool]
    known: "Known"


class Known:
    """The standing jobs of the last listing whose MACs were verified: a row that says the same again is the same again.

    All that the MAC is over is compared here, so that an equal one need not be computed anew.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Proof] = {}  # by full id

    def again(self, row: Mapping[str, Any], instance_id: str) -> Proof | None:
        """What is known of an unchanged row. Raises as a row of another form does everywhere."""
        found = self._rows.get(row["Id"])
        if found is None or row["State"] != "created" or row["Names"][0] != found[0]:
            return None
        job, get = found[2], row["Labels"].get
        said = (get(labels.MAC), get(labels.JOB), get(labels.DIGEST), get(labels.OWNER), get(labels.REVISION))
        same = said == (found[1], job.name, job.digest, job.owner, job.revision) and row["ImageID"] == job.image_id
        unchanged = same and get(labels.KIND) == Kind.STANDING.value and not get(labels.RUN)
        return found if unchanged and get(labels.INSTANCE_ID) == instance_id else None

    def keep(self, proven: Mapping[str, Proof]) -> None:
        """Know these and no others."""
        self._rows = dict(proven)


@dataclass(slots=True)
class _Seen:
    jobs: dict[str, LiveJob] = field(default_factory=dict)
    runs: dict[str, LiveRun] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    half_made: dict[str, LiveJob] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    proven: dict[str, Proof] = field(default_factory=dict)
    complete: bool = True


def read_listing(rows: list[Mapping[str, Any]], sources: Sources) -> tuple[LiveState, frozenset[str]]:
    """The live state, and the jobs of which a half-made replacement is there. A row in doubt makes it incomplete."""
    seen = _Seen()
    for row in rows:
        try:
            _row(row, sources, seen)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            seen.complete = False
    for job, extra in seen.half_made.items():
        if not sources.busy(job):
            live = seen.jobs.get(job)
            seen.jobs[job] = _drifted(live or extra, HALF_MADE)
    sources.known.keep(seen.proven)
    state = LiveState("docker", seen.jobs, seen.runs, seen.complete, seen.taken)
    return state, frozenset(seen.half_made)


def _row(row: Mapping[str, Any], sources: Sources, seen: _Seen) -> None:
    if (same := sources.known.again(row, sources.context.instance_id)) is not None:
        seen.jobs[same[2].name], seen.proven[same[2].ref] = same[2], same
        return
    ref, state, marked = row["Id"], row["State"], row["Labels"]
    if not (isinstance(ref, str) and isinstance(state, str) and isinstance(marked, Mapping)):
        raise TypeError("a row without id, state or labels")
    name = row["Names"][0].removeprefix("/")
    if state == "removing":
        return
    signed = labels.owned_by_mark(sources.context, marked, name)
    mark = signed or sources.recognise(marked, name, ref)
    if mark is None:
        _foreign(name, ref, sources.context, seen)
    elif mark.kind is Kind.RUN:
        seen.runs[mark.run] = _run(row, mark, sources)
    elif mark.kind is Kind.STANDING:
        drift = (STARTED,) if state == "exited" else ()
        share = seen.shared.setdefault  # a fleet has few owners, revisions and images
        image, owner, revision = str(row["ImageID"]), mark.owner, mark.revision
        job = LiveJob(
            mark.job, mark.digest, share(revision, revision), share(owner, owner), ref, share(image, image), drift
        )
        if name.endswith(labels.NEW_SUFFIX):
            seen.half_made[mark.job] = job
            return
        seen.jobs[mark.job] = job
        if signed is not None and not drift:
            seen.proven[ref] = row["Names"][0], marked[labels.MAC], job


def _foreign(name: str, ref: str, context: EngineContext, seen: _Seen) -> None:
    """An object that claims our instance and is not ours: if it holds a job's name, that is an error of the plan."""
    job = undotted(name.removeprefix(f"{context.instance}."))
    if name.startswith(f"{context.instance}.") and is_job_name(job):
        seen.taken[job] = ref


def _run(row: Mapping[str, Any], mark: Mark, sources: Sources) -> LiveRun:
    ref, phase = str(row["Id"]), _PHASES[str(row["State"])]
    if phase is LivePhase.EXITED:
        full = sources.ended(mark.run, ref)
        if full is not None:
            return full
    code = _EXITED.match(str(row["Status"])) if phase is LivePhase.EXITED else None
    return LiveRun(
        mark.run, mark.job, ref, phase,
        exit_code=int(code[1]) if code else None,
        started_at=None if phase is LivePhase.CREATED else sources.started_at(ref),
        devices=labels.devices_of(row["Labels"]),
    )  # fmt: skip


def _drifted(job: LiveJob, why: str) -> LiveJob:
    return LiveJob(job.name, job.digest, job.revision, job.owner, job.ref, job.image_id, (*job.drift, why))

"""In: the live spec and a desired job. Out: what differs, field by field, in the words of a job file."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..model.job import DesiredJob, JobSpec, Location, Schedule, ScheduleKind, SecretRef
from ..model.plan import FieldChange
from ..schedule.expression import spreads
from . import words

SCRIPTS = ("start_script", "script")
DIFF_LINES = 100  # longer scripts are only counted: difflib is quadratic
SHOWN_LINES = 12

_DEFAULTS = JobSpec(name="", owner="", schedule=Schedule(ScheduleKind.MANUAL), image="")


class Field(NamedTuple):
    """One scalar of a job file: its dotted name there, how to get it from a spec, how to say it."""

    name: str
    get: Callable[[JobSpec], Any]
    say: Callable[[Any], str] = words.text


def _line(schedule: Schedule) -> Schedule:
    """Without what is told under a name of its own."""
    zone = schedule.timezone if schedule.parts else ""
    seed = schedule.seed if spreads(schedule.expression) else ""
    parts = tuple(replace(part, calendars=()) for part in schedule.parts)
    return replace(
        schedule, timezone=zone, gap="", overlap="", start="", end="", jitter=0.0, exclude="", seed=seed,
        calendars=(),
        parts=parts,
    )  # fmt: skip


FIELDS = (
    Field("description", lambda s: s.description),
    Field("owner", lambda s: s.owner),
    Field("schedule", lambda s: _line(s.schedule), words.schedule),
    Field("schedule.start", lambda s: s.schedule.start, lambda text: text or "none"),
    Field("schedule.end", lambda s: s.schedule.end, lambda text: text or "none"),
    Field("schedule.jitter", lambda s: s.schedule.jitter or None, words.seconds),
    Field("timezone", lambda s: s.schedule.timezone),
    Field("dst.gap", lambda s: s.schedule.gap),
    Field("dst.overlap", lambda s: s.schedule.overlap),
    Field("suspend", lambda s: s.suspend),
    Field("image", lambda s: s.image or None),
    Field("exec_in", lambda s: s.exec_in or None),
    Field("entrypoint", lambda s: s.entrypoint, words.listing),
    Field("command", lambda s: s.command, words.listing),
    Field("packages.apt", lambda s: s.packages.apt, words.listing),
    Field("packages.conda", lambda s: s.packages.conda, words.listing),
    Field("packages.pip", lambda s: s.packages.pip, words.listing),
    Field("packages.cran", lambda s: s.packages.cran, words.listing),
    Field("packages.files", lambda s: tuple(f"{name}: {path}" for name, path in s.packages.files), words.listing),
    Field("packages.install", lambda s: s.packages.install),
    Field("working_dir", lambda s: s.working_dir),
    Field("user", lambda s: s.user),
    Field("resources.cpus", lambda s: s.resources.cpus),
    Field("resources.memory", lambda s: s.resources.memory, words.size),
    Field("resources.pids_limit", lambda s: s.resources.pids_limit),
    Field("resources.shm_size", lambda s: s.resources.shm_size, words.size),
    Field("resources.gpus", lambda s: s.resources.gpus),
    Field("networks", lambda s: s.networks, words.listing),
    Field("timeout", lambda s: s.timeout, words.seconds),
    Field("stop_grace_period", lambda s: s.stop_grace_period, words.seconds),
    Field("concurrency_policy", lambda s: s.concurrency_policy),
    Field("queue.limit", lambda s: s.queue.limit),
    Field("queue.timeout", lambda s: s.queue.timeout, words.seconds),
    Field("concurrency_group", lambda s: s.concurrency_group),
    Field("priority", lambda s: s.priority),
    Field("pause_after_failures", lambda s: s.pause_after_failures),
    Field("repositories", lambda s: tuple(words.repository(item) for item in s.repositories), words.listing),
    Field("outputs", lambda s: s.outputs),
    Field("hold_on_failure", lambda s: s.hold_on_failure, words.seconds),
    Field("retries.limit", lambda s: s.retries.limit),
    Field("retries.delay", lambda s: s.retries.delay, words.seconds),
    Field("retries.backoff", lambda s: s.retries.backoff),
    Field("retries.max_delay", lambda s: s.retries.max_delay, words.seconds),
    Field("retries.on_exit_codes", lambda s: s.retries.on_exit_codes, words.listing),
    Field("after", lambda s: tuple(f"{link.job} ({link.on})" for link in s.after), words.listing),
    Field(
        "wait_for", lambda s: tuple(f"{link.job} ({words.seconds(link.within)})" for link in s.wait_for), words.listing
    ),
    Field("start_deadline", lambda s: s.start_deadline, words.seconds),
    Field("catch_up", lambda s: s.catch_up),
    Field("catch_up_limit", lambda s: s.catch_up_limit),
    Field("on_retire", lambda s: s.on_retire),
    Field("protect", lambda s: s.protect),
    Field("history.keep_success", lambda s: s.history.keep_success),
    Field("history.keep_failed", lambda s: s.history.keep_failed),
    Field("history.keep_for", lambda s: s.history.keep_for, words.seconds),
    Field("pull_policy", lambda s: s.pull_policy),
    Field("read_only", lambda s: s.read_only),
    Field("cap_add", lambda s: s.cap_add, words.listing),
    Field("strategy", lambda s: s.strategy, words.strategy),
    Field("moved_from", lambda s: s.moved_from),
)


def field_changes(old: JobSpec, new: DesiredJob) -> tuple[FieldChange, ...]:
    """Every field that differs, in a fixed order. Values of the environment are never among them (rule S3)."""
    return tuple(_all_changes(old, new))


def _all_changes(old: JobSpec, new: DesiredJob) -> Iterator[FieldChange]:
    for field in FIELDS:
        before, after = field.get(old), field.get(new.spec)
        if before != after:
            where = place(new, field.name)
            default = bool(new.lines) and where is None and after == field.get(_DEFAULTS)
            yield FieldChange(field.name, field.say(before), field.say(after) + " (default)" * default, where)
        if field.name == "schedule" and old.schedule.exclude != new.spec.schedule.exclude:
            yield _excluded(old.schedule.exclude, new)
    for name in SCRIPTS:
        if getattr(old, name) != getattr(new.spec, name):
            yield _script(name, getattr(old, name), new)
    environment = _hidden(dict(old.environment), dict(new.spec.environment))
    labels = _shown(dict(old.labels), dict(new.spec.labels), str)
    volumes = _shown({m.target: m for m in old.mounts}, {m.target: m for m in new.spec.mounts}, words.volume)
    files = _shown({f.target: f for f in old.files}, {f.target: f for f in new.spec.files}, words.file_mount)
    parameters = _shown({p.name: p for p in old.parameters}, {p.name: p for p in new.spec.parameters}, words.parameter)
    secrets = _shown(_by_name(old.secrets), _by_name(new.spec.secrets), words.secret)
    groups = (("environment", environment), ("labels", labels), ("volumes", volumes), ("files", files),
              ("secrets", secrets), ("parameters", parameters))  # fmt: skip
    for name, pairs in groups:
        for key, before, after in pairs:
            yield FieldChange(f"{name}.{key}", before, after, place(new, f"{name}.{key}"))


def _excluded(old: str, new: DesiredJob) -> FieldChange:
    """The days that come and go; a calendar is long, and an edit of it is not."""
    before, after = ({day for day in text.split(",") if day} for text in (old, new.spec.schedule.exclude))
    marked = [f"- {day}" for day in sorted(before - after)] + [f"+ {day}" for day in sorted(after - before)]
    more = (f"({len(marked) - SHOWN_LINES} more lines)",) if len(marked) > SHOWN_LINES else ()
    said = words.days(old), words.days(new.spec.schedule.exclude)
    return FieldChange("schedule.exclude", *said, place(new, "schedule"), (*marked[:SHOWN_LINES], *more))


def place(job: DesiredJob, name: str) -> Location | None:
    """Where `retries.limit` was written: at its own line, else at that of `retries`."""
    return job.lines.get(name) or job.lines.get(name.partition(".")[0])


def _hidden(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Names only: a value may be a secret that somebody should not have written there."""
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield key, "", "added" if key not in old else "removed" if key not in new else "changed"


def _by_name(refs: tuple[SecretRef, ...]) -> dict[str, tuple[SecretRef, ...]]:
    found: dict[str, tuple[SecretRef, ...]] = {}
    for ref in refs:
        found[ref.name] = (*found.get(ref.name, ()), ref)
    return found


def _shown(old: Mapping[str, Any], new: Mapping[str, Any], say: Callable[[Any], str]) -> Iterator[tuple[str, str, str]]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before != after:
            said = (say(before) if before is not None else "none", say(after) if after is not None else "none")
            yield key, said[0], said[1] if said[0] != said[1] else f"{said[1]}, other content"


def _script(name: str, old: str | None, new: DesiredJob) -> FieldChange:
    before, after = (old or "").splitlines(), (getattr(new.spec, name) or "").splitlines()
    notes: tuple[str, ...] = ()
    if max(len(before), len(after)) <= DIFF_LINES and before and after:
        diff = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
        lines = [line for line in diff if not line.startswith("@@")]
        more = [f"({len(lines) - SHOWN_LINES} more lines)"] if len(lines) > SHOWN_LINES else []
        notes = tuple(lines[:SHOWN_LINES] + more)
    said = [words.plural(len(lines), "line") if lines else "none" for lines in (before, after)]
    return FieldChange(name, said[0], said[1], place(new, name), notes)

"""In: the facts of a job as it stands. Out: what its file means, in sentences, each with who said it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..model.job import CatchUp, Concurrency, JobSpec, OnRetire, ScheduleKind
from ..model.live import StandingJob
from ..model.origin import Origin
from ..plan import words
from ..schedule.after import follows
from ..schedule.aloud import aloud
from ..schedule.clock_changes import change_on, clock_changes, effect
from ..schedule.cron import next_fire, smallest_interval
from .chain import Said
from .facts import Durations, Facts
from .forecast import seconds
from .outlook import barrier, covering
from .pieces import held_problems, said
from .settings import setting

YEAR = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Sentence:
    """What one aspect of the job is. `sources`: (field, who said it) of the fields it speaks of."""

    about: str
    text: str
    sources: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Fire:
    """A slot to come. `note`: what is special about its day."""

    at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """The clocks of the zone change at `at`. `effect`: what it does to this job, "" = nothing."""

    at: datetime
    words: str
    effect: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`barrier`: why it does not fire at present, "" if it does. `interval`: seconds between its closest slots.
    `follows`: what fires it beside its schedule."""

    job: str
    zone: str
    now: datetime
    expression: str
    said: Said | None
    sentences: tuple[Sentence, ...]
    fires: tuple[Fire, ...]
    changes: tuple[Change, ...]
    interval: float | None
    durations: Durations | None
    barrier: str = ""
    warnings: tuple[str, ...] = ()
    follows: str = ""


def explain(facts: Facts, count: int) -> Explanation:
    """Of a job that is applied; its next `count` fires."""
    job = facts.standing
    assert job is not None
    spec = job.spec
    fires = tuple(_fires(facts, job, count))
    barred = barrier(facts, facts.now)
    sentences = (say(facts, spec, facts.origin) for say in _SENTENCES)
    return Explanation(
        facts.job, facts.zone, facts.now, words.schedule(spec.schedule), said(facts),
        tuple(one for one in sentences if one is not None), fires, tuple(_changes(facts, spec)),
        smallest_interval(spec.schedule), facts.durations, barred, tuple(_warnings(facts, spec)),
        follows(spec),
    )  # fmt: skip


def _fires(facts: Facts, job: StandingJob, count: int) -> Iterator[Fire]:
    at: datetime | None = max(facts.now, job.cursor)
    for _ in range(count):
        at = next_fire(job.spec.schedule, at, job.anchor) if at is not None else None
        if at is None:
            return
        change = change_on(facts.zone, at) if job.spec.schedule.kind is ScheduleKind.CRON else None
        means = effect(job.spec.schedule, change) if change is not None else ""
        pause = covering(facts, at)
        paused = f"will not fire: paused by {pause.actor}" if pause is not None else ""
        notes = [change.words if change is not None else "", means, paused]
        yield Fire(at, "; ".join(note for note in notes if note))


def _changes(facts: Facts, spec: JobSpec) -> Iterator[Change]:
    """The next change in each direction."""
    if spec.schedule.kind is not ScheduleKind.CRON:
        return
    seen: set[bool] = set()
    for change in clock_changes(facts.zone, facts.now, facts.now + YEAR):
        if change.forward not in seen:
            seen.add(change.forward)
            yield Change(change.at, change.words, effect(spec.schedule, change))


# -- sentences ------------------------------------------------------------------------------------------------


def _about(facts: Facts, spec: JobSpec, origin: Origin | None, about: str, text: str, *names: str) -> Sentence:
    found = [setting(name, spec, origin, facts.service) for name in names]
    return Sentence(about, text, tuple((one.name, one.source) for one in found if one.source))


def _when(facts: Facts, spec: JobSpec, origin: Origin | None) -> Sentence:
    names = ("schedule", "timezone") if spec.schedule.kind is ScheduleKind.CRON else ("schedule",)
    linked = spec.schedule.kind is ScheduleKind.MANUAL and spec.after
    return _about(facts, spec, origin, "fires", "at no time of its own" if linked else aloud(spec.schedule), *names)


def _overlap(facts: Facts, spec: JobSpec, origin: Origin | None) -> Sentence:
    text = {
        Concurrency.FORBID: "while a run is active, a slot that falls due is skipped and not made up",
        Concurrency.ALLOW: "a slot starts beside runs that are still active",
        Concurrency.REPLACE: "a slot that falls due stops the active run and takes its place",
        Concurrency.QUEUE: f"slots that fall due while a run is active wait for their turn, up to {spec.queue.limit}",
    }[spec.concurrency_policy]
    names = ["concurrency_policy", *(["queue.limit"] if spec.concurrency_policy is Concurrency.QUEUE else [])]
    if spec.concurrency_group:
        text += f"; it shares the places of group {spec.concurrency_group} with other jobs"
        names.append("concurrency_group")
    return _about(facts, spec, origin, "overlap", text, *names)


def _deadline(facts: Facts, spec: JobSpec, origin: Origin | None) -> Sentence:
    limit = spec.start_deadline
    text = "a slot may start until the next one is due, at most 12 h late"
    if spec.catch_up is CatchUp.ALL:
        text = "a slot may start at most 12 h late"
    if limit is not None:
        text = f"a slot may start at most {words.seconds(limit)} late; after that it is missed"
    return _about(facts, spec, origin, "lateness", text, "start_deadline")


def _catch_up(facts: Facts, spec: JobSpec, origin: Origin | None) -> Sentence:
    texts = {
        CatchUp.NONE: "after a downtime nothing is made up: all its slots are missed",
        CatchUp.LATEST: "after a downtime the latest slot is run, the others are recorded as missed",
        CatchUp.ALL: f"after a downtime its slots are run, oldest first, the latest {spec.catch_up_limit} of them",
    }
    every = spec.catch_up is CatchUp.ALL and spec.concurrency_policy in (Concurrency.QUEUE, Concurrency.ALLOW)
    text = texts[CatchUp.LATEST if spec.catch_up is CatchUp.ALL and not every else spec.catch_up]
    names = ["catch_up", *(["catch_up_limit"] if every else [])]
    return _about(facts, spec, origin, "catch-up", text, *names)


def _retries(facts: Facts, spec: JobSpec, origin: Origin | None) -> Sentence:
    found = spec.retries
    if not found.limit:
        text = "a failed run is not tried again; the next slot is the next attempt"
        return _about(facts, spec, origin, "retries", text, "retries.limit")
    only = f", only after exit {' or '.join(map(str, found.on_exit_codes))}" if found.on_exit_codes else ""
    first = words.seconds(found.delay)
    grows = f", then {found.backoff:g} times longer each time, at most {words.seconds(found.max_delay)}"
    grows = grows if found.limit > 1 and found.backoff > 1 else ""
    text = f"a failed run is tried again up to {_times(found.limit)}{only}: after {first}{grows}"
    names = ["retries.limit", "retries.delay", *(["retries.on_exit_codes"] if found.on_exit_codes else [])]
    return _about(facts, spec, origin, "retries", text, *names)


def _timeout(facts: Facts, spec: JobSpec, origin: Origin | None) -> Sentence:
    grace = words.seconds(spec.stop_grace_period)
    text = f"each attempt is ended after {words.seconds(spec.timeout)}: TERM, and KILL {grace} later"
    return _about(facts, spec, origin, "timeout", text, "timeout", "stop_grace_period")


def _links(facts: Facts, spec: JobSpec, origin: Origin | None) -> Sentence | None:
    """What other jobs have to do with it; None if nothing."""
    when = {"success": "succeeded", "failure": "failed", "any": "ended"}
    said = [f"it fires after {link.job} has {when[link.on]}" for link in spec.after]
    said += [f"a slot waits until {w.job} has succeeded, at most {words.seconds(w.within)}" for w in spec.wait_for]
    names = [*(["after"] if spec.after else []), *(["wait_for"] if spec.wait_for else [])]
    return _about(facts, spec, origin, "others", "; ".join(said), *names) if said else None


def _stops(facts: Facts, spec: JobSpec, origin: Origin | None) -> Sentence | None:
    if not spec.pause_after_failures:
        return None
    text = f"after {words.plural(spec.pause_after_failures, 'failed slot')} in a row it is paused"
    return _about(facts, spec, origin, "pausing", text, "pause_after_failures")


def _retire(facts: Facts, spec: JobSpec, origin: Origin | None) -> Sentence:
    text = "when its file is deleted, what runs is " + (
        "stopped" if spec.on_retire is OnRetire.STOP else "left to end by itself"
    )
    return _about(facts, spec, origin, "retiring", text, "on_retire")


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


_SENTENCES: tuple[Callable[[Facts, JobSpec, Origin | None], Sentence | None], ...] = (
    _when, _links, _overlap, _deadline, _catch_up, _retries, _stops, _timeout, _retire,
)  # fmt: skip


# -- warnings -------------------------------------------------------------------------------------------------


def _warnings(facts: Facts, spec: JobSpec) -> Iterator[str]:
    """The smallest interval against the timeout and the usual duration; what is held; what is wrong now."""
    interval, usual = smallest_interval(spec.schedule), facts.durations
    forbids = spec.concurrency_policy is Concurrency.FORBID
    if interval is not None and usual is not None and usual.p95 > interval:
        then = "slots are skipped" if forbids else "runs overlap"
        yield f"p95 of {seconds(usual.p95)} is longer than the interval of {words.seconds(interval)}: {then}"
    elif interval is not None and spec.timeout > interval:
        then = "one slow run skips slots" if forbids else "slow runs overlap"
        yield f"the timeout of {words.seconds(spec.timeout)} is longer than the interval of " \
              f"{words.seconds(interval)}: {then}"  # fmt: skip
    if usual is not None and usual.p95 > 0.8 * spec.timeout:
        yield f"p95 of {seconds(usual.p95)} is near the timeout of {words.seconds(spec.timeout)}"
    yield from held_problems(facts)
    yield from facts.degraded

"""In: the facts. Out: what will happen by itself: time-outs, retries, ends of pauses, the next slot (in order)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from ..model.live import StandingJob
from ..model.run import Pause, Phase, RunRecord
from ..plan import words
from ..schedule.cron import next_fire
from ..schedule.cursor import silent_until
from .chain import Next
from .facts import Facts, RunFact
from .settings import setting

_HOLDS = (Phase.STARTING, Phase.RUNNING, Phase.STOPPING)


def outlook(facts: Facts) -> tuple[Next, ...]:
    """What comes next, for the runs that are spoken of and for the job."""
    found = [step for one in (*facts.others, *facts.runs) for step in _of_run(facts, one)]
    pause = covering(facts, facts.now)
    if pause is not None and pause.until is not None:
        found.append(Next(pause.until, f"the pause by {pause.actor} ends"))
    following = next_slot(facts)
    if following is not None:
        found.append(Next(following, f"next slot{_but(facts, following)}"))
    return tuple(sorted(dict.fromkeys(found), key=lambda step: step.at))


def next_slot(facts: Facts) -> datetime | None:
    """The first slot after now that is not accounted for."""
    job = facts.standing
    return None if job is None else next_fire(job.spec.schedule, max(facts.now, job.cursor), job.anchor)


def _but(facts: Facts, slot: datetime) -> str:
    why = barrier(facts, slot)
    return f", which will not fire: {why}" if why else ""


def barrier(facts: Facts, slot: datetime) -> str:
    """Why the job may not fire at `slot`, as things are now; the order is that in which a slot is decided."""
    job = facts.standing
    if job is None:
        return "no such job is applied"
    if job.retiring:
        return "the job is being retired"
    if job.forbidden:
        return f"policy forbids it: {job.forbidden}"
    if job.spec.suspend:
        return "it is suspended in git"
    silent = silent_until(job, facts.now)
    if silent is not None and slot < silent:
        return f"the clock was set back, and it is silent until {silent:%Y-%m-%d %H:%M:%S} UTC"
    if facts.drained:
        return f"nothing is started: {facts.drained}"
    pause = covering(facts, slot)
    return f"it is paused by {pause.actor}{f': {pause.reason}' if pause.reason else ''}" if pause is not None else ""


def covering(facts: Facts, at: datetime) -> Pause | None:
    return next((pause for pause in facts.pauses if pause.covers(facts.job, at)), None)


def _of_run(facts: Facts, one: RunFact) -> Iterator[Next]:
    run = one.run
    if not run.active:
        return
    if run.phase in _HOLDS and one.spec is not None:
        yield from _ending(facts, one, run)
    elif run.retry_at is not None and run.retry_at > facts.now:
        yield Next(run.retry_at, f"attempt {run.attempt} is tried again" if run.tries else f"attempt {run.attempt}")
    elif run.deadline is not None and run.phase in (Phase.PENDING, Phase.PREPARING) and run.deadline > facts.now:
        yield Next(run.deadline, f"{run.run_id} is given up if it has not started")


def _ending(facts: Facts, one: RunFact, run: RunRecord) -> Iterator[Next]:
    assert one.spec is not None
    grace = words.seconds(one.spec.stop_grace_period)
    if run.stop_requested_at is not None:
        kill = run.stop_requested_at + timedelta(seconds=one.spec.stop_grace_period)
        if kill > facts.now:
            yield Next(kill, f"KILL to {run.run_id}")
        return
    timeout = setting("timeout", one.spec, one.origin, facts.service)
    source = f" ({timeout.source})" if timeout.source else ""
    ends = began(run) + timedelta(seconds=one.spec.timeout)
    if ends > facts.now:
        yield Next(ends, f"timeout of {timeout.value}{source}: TERM, KILL {grace} later")


def began(run: RunRecord) -> datetime:
    """When it started, or what comes nearest to that."""
    return run.started_at or run.start_requested_at or run.claimed_at


def applied(job: StandingJob | None, at: datetime) -> bool:
    """Was today's definition in force at `at`?"""
    return job is not None and job.applied_at <= at

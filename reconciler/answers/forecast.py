"""In: the facts of a slot that is to come, or is due and not decided. Out: what will happen to it, and what may not."""

from dataclasses import replace
from datetime import datetime, timedelta

from ..model.job import Concurrency
from ..model.live import StandingJob
from ..model.run import Phase
from ..plan import words
from ..schedule.clock_changes import change_on, effect
from ..schedule.deadlines import default_deadline
from .advice import advice
from .chain import Chain, Next, Verdict
from .facts import Facts, RunFact
from .instants import around, is_excluded
from .outlook import barrier, began, outlook
from .pieces import blocker, held_problems, said
from .settings import setting


def forecast(facts: Facts) -> Chain:
    """The slot is to come."""
    job = facts.standing
    assert job is not None
    why = barrier(facts, facts.at)
    if is_excluded(job.spec.schedule, facts.at, job.anchor):
        why = "its day is excluded (schedule: exclude)"
    if why:
        return _chain(facts, Verdict.WILL_NOT_FIRE, why)
    if facts.degraded:
        return _chain(facts, Verdict.MAY_NOT_FIRE, facts.degraded[0])
    overlap = _overlap(facts, job) if job.spec.concurrency_policy is Concurrency.FORBID else ""
    if overlap:
        return _chain(facts, Verdict.MAY_NOT_FIRE, overlap, overlaps=True)
    return _chain(facts, Verdict.WILL_FIRE, "nothing that is known stands in its way")


def due(facts: Facts) -> Chain:
    """Its instant has come, and nobody has decided it yet."""
    job = facts.standing
    assert job is not None
    why = barrier(facts, facts.at) or (facts.degraded[0] if facts.degraded else "")
    told = f"nobody has decided it yet{f': {why}' if why else ', the service is about to'}"
    limit = setting("start_deadline", job.spec, facts.origin, facts.service)
    chain = replace(_chain(facts, Verdict.DUE, told), rules=(limit,))
    deadline = default_deadline(job.spec, facts.at, job.anchor)
    if deadline <= facts.now:
        late = "its deadline has passed: it will be recorded as missed"
        return replace(chain, notes=(late, *chain.notes))
    at = Next(deadline, "until then it may still start (start_deadline)")
    return replace(chain, next=tuple(sorted((*chain.next, at), key=lambda step: step.at)))


def _chain(facts: Facts, verdict: Verdict, headline: str, *, overlaps: bool = False) -> Chain:
    job = facts.standing
    assert job is not None
    rules = (setting("concurrency_policy", job.spec, facts.origin, facts.service),) if overlaps else ()
    chain = Chain(
        job=facts.job, zone=facts.zone, now=facts.now, asked=facts.at, slot=facts.at, verdict=verdict,
        headline=headline, said=said(facts), rules=rules, blockers=tuple(blocker(facts, one) for one in facts.others),
        notes=_notes(facts, job, told=headline), usual=facts.durations, next=outlook(facts),
    )  # fmt: skip
    return replace(chain, can=advice(facts, chain, None))


def _notes(facts: Facts, job: StandingJob, told: str) -> tuple[str, ...]:
    found: list[str] = []
    change = change_on(facts.zone, facts.at)
    if change is not None:
        means = effect(job.spec.schedule, change)
        found.append(f"that day {change.words}{f': {means}' if means else ''}")
    if job.spec.concurrency_policy is Concurrency.REPLACE and facts.others:
        found.append("what then still runs is stopped and replaced (concurrency_policy: Replace)")
    if job.spec.concurrency_policy is Concurrency.QUEUE and facts.others:
        found.append("what then still runs comes first, it waits for its turn (concurrency_policy: Queue)")
    found += held_problems(facts)
    return (*found, *(line for line in facts.degraded if line not in told))


# -- overlap --------------------------------------------------------------------------------------------------


def _overlap(facts: Facts, job: StandingJob) -> str:
    """Why a run may still be active then; "" if none is expected to. A waiting retry gives way by itself (rule R4)."""
    for one in facts.others:
        if one.run.phase is Phase.PENDING and one.run.retry_at is not None:
            continue
        if told := _still_runs(facts, one):
            return told
    usual = facts.durations
    before = around(job.spec.schedule, facts.at, job.anchor)[0]
    if usual is None or before is None or before <= facts.now:
        return ""
    gap = (facts.at - before).total_seconds()
    if usual.p95 <= gap:
        return ""
    word = "will probably" if usual.p50 > gap else "may"
    return f"the run of the slot before it, {seconds(gap)} earlier, {word} still run: p95 {seconds(usual.p95)}"


def _still_runs(facts: Facts, one: RunFact) -> str:
    since, usual = began(one.run), facts.durations
    spec = one.spec
    if spec is not None and facts.now < since + timedelta(seconds=spec.timeout + spec.stop_grace_period) < facts.at:
        return ""
    if usual is None:
        return f"{one.run.run_id} is {one.run.phase.value}, and how long it takes is not known yet"
    if since + timedelta(seconds=usual.p95) <= facts.now:
        over = seconds((facts.now - since).total_seconds())
        return f"{one.run.run_id} has run for {over}, longer than usual (p95 {seconds(usual.p95)})"
    return _expected(facts.at, one, since, usual.p50, usual.p95)


def _expected(slot: datetime, one: RunFact, since: datetime, p50: float, p95: float) -> str:
    if since + timedelta(seconds=p95) <= slot:
        return ""
    word = "will probably" if since + timedelta(seconds=p50) > slot else "may"
    return f"{one.run.run_id} {word} still run: p50 {seconds(p50)}, p95 {seconds(p95)}"


def seconds(value: float) -> str:
    """`4m2s`: whole seconds, unless it is less than one."""
    return words.seconds(round(value) if value >= 1 else round(value, 3))

"""In: the facts of one slot. Out: the causal chain of what became of it. What is to come is forecast.py's matter."""

from dataclasses import replace
from datetime import datetime

from ..model.run import Disposition, Phase, RunRecord
from ..plan import words
from . import parts
from .advice import advice
from .chain import Chain, Span, Verdict
from .facts import Facts
from .forecast import due, forecast
from .instants import around, final, is_slot
from .outlook import applied, outlook
from .pieces import attempt, blocker, held_problems, said
from .rules import PASSED, Rule, cause, rule_of, rule_of_end
from .say import near
from .settings import Setting, setting

_RAN = (Disposition.RAN, Disposition.LOST)
_PHASES = {
    Phase.PENDING: Verdict.WAITING, Phase.PREPARING: Verdict.WAITING, Phase.STARTING: Verdict.RUNNING,
    Phase.RUNNING: Verdict.RUNNING, Phase.STOPPING: Verdict.RUNNING, Phase.SUCCEEDED: Verdict.OK,
    Phase.FAILED: Verdict.FAILED, Phase.TIMED_OUT: Verdict.TIMED_OUT, Phase.CANCELLED: Verdict.CANCELLED,
    Phase.LOST: Verdict.LOST, Phase.OOM: Verdict.OOM,
}  # fmt: skip


def why(facts: Facts) -> Chain:
    """One chain for the slot at `facts.at`, whether it was, is due, is to come, or is none at all."""
    if facts.runs or facts.slot is not None:
        return _recorded(facts)
    job = facts.standing
    if job is not None and is_slot(job.spec.schedule, facts.at, job.anchor):
        if facts.at > facts.now:
            return forecast(facts)
        return due(facts) if facts.at > job.cursor else _forgotten(facts)
    return _no_slot(facts)


def _no_slot(facts: Facts) -> Chain:
    job = facts.standing
    before, after = around(job.spec.schedule, facts.at, job.anchor) if job is not None else (None, None)
    told = "is no slot of it" if facts.fires else "is no slot: it never fires by itself"
    if job is not None and not facts.fires and job.spec.after:
        told = f"is no slot: it fires after {' or '.join(link.job for link in job.spec.after)}"
    if job is None:
        told = "is no slot: the job is not applied, and history has nothing of that instant"
    return Chain(facts.job, facts.zone, facts.now, facts.at, None, Verdict.NO_SLOT, told, before=before, after=after)


def _forgotten(facts: Facts) -> Chain:
    """A slot by today's schedule that the ledger has no row of."""
    job = facts.standing
    assert job is not None
    if facts.at <= job.anchor or not applied(job, facts.at):
        told = "nothing was owed: this schedule was applied later"
    else:
        told = f"it has aged out of history (history.keep_for: {words.seconds(job.spec.history.keep_for)})"
    return Chain(
        facts.job, facts.zone, facts.now, facts.at, facts.at, Verdict.FORGOTTEN, told, said(facts),
        next=outlook(facts),
    )  # fmt: skip


# -- what the ledger tells ------------------------------------------------------------------------------------


def _recorded(facts: Facts) -> Chain:
    last = final([one.run for one in facts.runs])
    verdict, rule, headline = _verdict(facts, last)
    row = facts.slot
    decided = row.decided_at if row is not None and row.decided_at is not None else None
    if decided is None and facts.runs:
        decided = facts.runs[0].run.claimed_at
    chain = Chain(
        job=facts.job, zone=facts.zone, now=facts.now, asked=facts.at, slot=facts.at, verdict=verdict,
        headline=headline, said=said(facts), decided_at=decided,
        span=Span(row.first, row.last, row.count) if row is not None and row.count > 1 else None,
        rules=_settings(facts, rule, last), blockers=tuple(blocker(facts, one) for one in facts.others),
        attempts=tuple(attempt(one) for one in facts.runs), not_it=_not_it(facts, rule, decided),
        notes=_notes(facts, rule, decided), next=outlook(facts), can=(),
    )  # fmt: skip
    return replace(chain, can=advice(facts, chain, rule))


def _verdict(facts: Facts, last: list[RunRecord]) -> tuple[Verdict, Rule | None, str]:
    row = facts.slot
    if row is not None and row.disposition not in _RAN:
        rule = rule_of(row.disposition, row.reason)
        late = cause(row.reason, lambda at: near(at, facts.zone, facts.at))
        return Verdict(row.disposition.value), rule, _joined(rule.headline if rule is not None else "", late)
    if not last:
        return Verdict.OK, None, f"it ran as {row.run_id}; that run has aged out" if row is not None else ""
    worst = _worst(last)
    verdict, rule = _PHASES[worst.phase], rule_of_end(worst.phase, worst.reason)
    if worst.phase is Phase.PENDING and worst.retry_at is not None:
        verdict = Verdict.RETRYING
    told = _of_cells(last) or _of_run(worst, rule)
    return verdict, rule, told


def _worst(last: list[RunRecord]) -> RunRecord:
    """What speaks for the slot: a cell that is under way, else one that ended badly."""
    return min(last, key=lambda run: (not run.active, run.phase is Phase.SUCCEEDED, run.cell or 0))


def _of_cells(last: list[RunRecord]) -> str:
    if len(last) < 2:
        return ""
    counts = {phase: sum(run.phase is phase for run in last) for phase in Phase}
    said = [f"{count} {phase.value.replace('_', ' ')}" for phase, count in counts.items() if count]
    return f"of {len(last)} cells {', '.join(said)}"


def _of_run(run: RunRecord, rule: Rule | None) -> str:
    if run.phase is Phase.SUCCEEDED:
        return "it ended well"
    if run.active:
        why_so = f": {run.reason}" if run.reason else ""
        return f"attempt {run.attempt} is {run.phase.value}{why_so}"
    headline = rule.headline if rule is not None else ""
    if run.started_at is None and run.phase is Phase.FAILED:
        headline = "it could not be started"
    return _joined(headline, run.reason if run.phase is not Phase.TIMED_OUT else "")


def _joined(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def _settings(facts: Facts, rule: Rule | None, last: list[RunRecord]) -> tuple[Setting, ...]:
    """The setting that decided, and beside it those that would have changed it."""
    if rule is None or not rule.setting:
        return ()
    reason = facts.slot.reason if facts.slot is not None and facts.slot.disposition not in _RAN else ""
    reason = reason or (_worst(last).reason if last else "")
    if rule.service:
        return (Setting(rule.setting, reason, ""),)
    if rule.setting == "policy" or facts.spec is None:
        return (Setting(rule.setting, reason, ""),)
    found = [setting(rule.setting, facts.spec, facts.origin, facts.service)]
    if rule.setting == "retries.limit" and facts.spec.retries.on_exit_codes:
        found.append(setting("retries.on_exit_codes", facts.spec, facts.origin, facts.service))
    return tuple(found)


def _not_it(facts: Facts, rule: Rule | None, decided: datetime | None) -> tuple[str, ...]:
    """What the slot had passed by then, and which parts of the service were well."""
    if rule is None:
        return ()
    passed = [name for gate, name in PASSED.items() if gate < rule.gate]
    if rule.gate > rule.gate.PREPARE and not any(one.run.started_at for one in facts.runs):
        passed = [name for gate, name in PASSED.items() if gate < rule.gate.QUEUE]
    return (*passed, *parts.well(facts.events, facts.known_since, decided or facts.at))


def _notes(facts: Facts, rule: Rule | None, decided: datetime | None) -> tuple[str, ...]:
    found: list[str] = [*facts.waits]
    if facts.drained:
        found.append(f"nothing is started now: {facts.drained}")
    if rule is not None:
        found += parts.ill(facts.events, decided or facts.at)
    found += held_problems(facts)
    return (*found, *facts.degraded)

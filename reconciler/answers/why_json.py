"""In: a chain. Out: plain data with stable keys: instants in UTC, spans in seconds, None for what is not known."""

from datetime import UTC, datetime
from typing import Any

from .chain import Attempt, Blocker, Chain, Said
from .facts import Durations


def data(chain: Chain) -> dict[str, Any]:
    """Every key is always there."""
    return {
        "job": chain.job, "timezone": chain.zone, "at": iso(chain.now), "asked": iso(chain.asked),
        "slot": iso(chain.slot), "verdict": chain.verdict.value.replace(" ", "_"), "headline": chain.headline,
        "said": said_data(chain.said) if chain.said is not None else None, "decided_at": iso(chain.decided_at),
        "range": _range(chain),
        "rules": [{"name": r.name, "value": r.value, "source": r.source} for r in chain.rules],
        "blockers": [_blocker(one) for one in chain.blockers], "runs": [_attempt(one) for one in chain.attempts],
        "not_it": list(chain.not_it), "notes": list(chain.notes), "durations": durations_data(chain.usual),
        "next": [{"at": iso(step.at), "what": step.what} for step in chain.next],
        "can": [{"do": can.do, "why": can.why} for can in chain.can],
        "before": iso(chain.before), "after": iso(chain.after),
    }  # fmt: skip


def durations_data(found: Durations | None) -> dict[str, Any] | None:
    return None if found is None else {"p50": found.p50, "p95": found.p95, "runs": found.count}


def iso(at: datetime | None) -> str | None:
    """`2026-11-24T02:00:00Z`, with milliseconds only if there are any."""
    if at is None:
        return None
    spec = "milliseconds" if at.microsecond else "seconds"
    return at.astimezone(UTC).isoformat(timespec=spec).replace("+00:00", "Z")


def said_data(said: Said) -> dict[str, Any]:
    commit = said.commit
    committed = datetime.fromtimestamp(int(commit.at), UTC) if commit.at else None
    return {
        "revision": commit.id, "author": commit.author, "committed_at": iso(committed), "subject": commit.subject,
        "path": said.path, "line": said.line or None, "schedule": said.schedule, "applied_at": iso(said.applied_at),
        "note": said.note,
    }  # fmt: skip


def _range(chain: Chain) -> dict[str, Any] | None:
    if chain.span is None:
        return None
    return {"first": iso(chain.span.first), "last": iso(chain.span.last), "count": chain.span.count}


def _blocker(one: Blocker) -> dict[str, Any]:
    return {
        "run_id": one.run_id, "attempt": one.attempt, "phase": one.phase, "since": iso(one.since),
        "until": iso(one.until), "usual_p95": one.usual, "sample": one.sample, "last_line": one.last_line or None,
        "last_line_at": iso(one.line_at),
    }  # fmt: skip


def _attempt(one: Attempt) -> dict[str, Any]:
    return {
        "run_id": one.run_id, "attempt": one.attempt, "cell": one.cell, "trigger": one.trigger,
        "actor": one.actor, "cause": one.cause,
        "phase": one.phase, "started_at": iso(one.started_at), "late": one.late, "took": one.took,
        "exit_code": one.exit_code, "failure": one.failure, "reason": one.reason, "hint": one.hint,
        "last_line": one.last_line or None,
    }  # fmt: skip

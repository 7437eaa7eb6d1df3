"""Runs and slots as JSON with stable keys, and as words."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..model.run import CellState, Phase, RunRecord, SlotRecord, Trigger
from .output import iso, took

WORDS = {Phase.SUCCEEDED: "ok", Phase.PENDING: "waiting"}
ON_TIME = 60.0  # seconds; later than that is said


def record_data(run: RunRecord) -> dict[str, Any]:
    """A run: instants in UTC, durations in seconds, sizes in bytes."""
    return {
        "run_id": run.run_id, "job": run.job, "slot": iso(run.slot), "attempt": run.attempt,
        "trigger": run.trigger.value, "actor": run.actor, "phase": run.phase.value, "exit_code": run.exit_code,
        "failure": run.failure.value, "reason": run.reason, "digest": run.digest, "revision": run.revision,
        "image_id": run.image_id, "image_digest": run.image_digest, "claimed_at": iso(run.claimed_at),
        "prepared_at": iso(run.prepared_at), "start_requested_at": iso(run.start_requested_at),
        "started_at": iso(run.started_at), "finished_at": iso(run.finished_at), "duration": duration(run),
        "late": lateness(run), "retry_at": iso(run.retry_at), "stop_reason": run.stop_reason,
        "peak_memory": run.peak_memory, "cpu_seconds": run.cpu_seconds, "log": run.log, "log_bytes": run.log_bytes,
        "next_attempt": run.superseded_by, "parameters": dict(run.parameters), "key": run.key, "cell": run.cell,
        "cells": run.cells, "replays": iso(run.replays), "devices": list(run.devices),
        "hold_until": iso(run.hold_until), "code": [item._asdict() for item in run.code],
    }  # fmt: skip


def slot_data(slot: SlotRecord) -> dict[str, Any]:
    """A slot, or a range of `count` slots of one disposition and reason."""
    return {
        "job": slot.job, "first": iso(slot.first), "last": iso(slot.last), "count": slot.count,
        "disposition": slot.disposition.value, "reason": slot.reason, "run_id": slot.run_id,
    }  # fmt: skip


def duration(run: RunRecord) -> float | None:
    """Seconds from start to end, None if it never started or still runs."""
    if run.started_at is None or run.finished_at is None:
        return None
    return round((run.finished_at - run.started_at).total_seconds(), 3)


def lateness(run: RunRecord) -> float | None:
    """Seconds from the slot to the start; first attempts only."""
    if run.started_at is None or run.attempt != 1:
        return None
    return round(max(0.0, (run.started_at - run.slot).total_seconds()), 3)


def asker(run: RunRecord) -> str:
    """Who or what wanted this run: the person for a run by hand."""
    return run.actor if run.trigger is Trigger.MANUAL else run.trigger.value


def cell_words(states: Sequence[CellState]) -> tuple[str, str]:
    """`15 cells: 13 ok, 2 failed`, and the style to show it in."""
    phases = Counter(state.phase for state in states)
    ended = (Phase.SUCCEEDED, *(phase for phase in Phase if phase.bad), Phase.CANCELLED)
    order = (*ended, *(phase for phase in reversed(Phase) if phase.active))
    parts = [f"{phases[p]} {WORDS.get(p, p.value.replace('_', ' '))}" for p in order if phases[p]]
    style = "cyan" if any(p.active for p in phases) else "red" if any(p.bad for p in phases) else "green"
    return f"{len(states)} cells: {', '.join(parts)}", style


def values(pairs: Iterable[tuple[str, str]]) -> str:
    """`epochs=20 lr=3e-3`."""
    return " ".join(f"{name}={text}" for name, text in pairs)


def result(run: RunRecord) -> tuple[str, str]:
    """How it ended in words, and the style to show it in."""
    if run.active:
        return _under_way(run), "cyan"
    if run.phase is Phase.SUCCEEDED:
        late = lateness(run) or 0.0
        return ("ok" + (f", {took(late)} late" if late > ON_TIME else ""), "green")
    text = run.phase.value.replace("_", " ")
    code = f"exit {run.exit_code}"
    text += f", {code}" if run.exit_code is not None and run.phase is Phase.FAILED else ""
    text += f": {run.reason}" if run.reason not in ("", code) else ""
    text += "; retried" if run.superseded_by else ""
    return text, "yellow" if run.phase is Phase.CANCELLED else "red"


def _under_way(run: RunRecord) -> str:
    waits = run.phase is Phase.PENDING and run.retry_at is not None
    word = f"tries again at {run.retry_at:%H:%M:%S} UTC" if waits else run.phase.value
    return f"{word}{f': {run.reason}' if run.reason else ''}"

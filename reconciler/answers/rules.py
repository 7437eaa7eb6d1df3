"""In: what the ledger says of a slot. Out: which rule decided it, and how far the deciding had come by then.

The ledger keeps a reason as one sentence. Each sentence that is ever written there has its row here; a test lets the
deciding code itself write them and finds each one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from ..model.ids import parse_run_id
from ..model.run import Disposition, Phase


class Gate(IntEnum):
    """What a slot passes on its way, in this order (`schedule.due`, then `runs.machine`)."""

    DAY = 0
    POLICY = 1
    SUSPEND = 2
    PAUSE = 3
    LATENESS = 4
    CATCH_UP = 5
    OVERLAP = 6
    QUEUE = 7
    PREPARE = 8
    RUN = 9


# What a gate is called when it was passed.
PASSED = {
    Gate.POLICY: "policy", Gate.SUSPEND: "suspend", Gate.PAUSE: "pause", Gate.LATENESS: "start_deadline",
    Gate.CATCH_UP: "catch_up", Gate.OVERLAP: "overlap", Gate.QUEUE: "queue", Gate.PREPARE: "image",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """`setting`: the field that decided, "" if none did; `service`: it is one of the service file, or an operator's."""

    gate: Gate
    setting: str
    headline: str
    service: bool = False


_TABLE: tuple[tuple[str, Rule], ...] = (
    (r"\(schedule: exclude\)", Rule(Gate.DAY, "schedule", "its day is excluded")),
    (r"\(concurrency_policy: Forbid\)", Rule(Gate.OVERLAP, "concurrency_policy", "the run before it was still active")),
    (r"^replaced by ", Rule(Gate.OVERLAP, "concurrency_policy", "a newer run replaced it")),
    (r"^replaced: its schedule was edited", Rule(Gate.RUN, "schedule", "its schedule was edited before it started")),
    (r"^the next slot is due", Rule(Gate.RUN, "retries.limit", "it waited to try again, and the next slot came")),
    (r"\(queue\.limit: ", Rule(Gate.OVERLAP, "queue.limit", "too many slots were waiting already")),
    (r"\(queue\.timeout\)", Rule(Gate.QUEUE, "queue.timeout", "it waited too long for its turn")),
    (r"\(wait_for\)", Rule(Gate.QUEUE, "wait_for", "what it waits for did not come")),
    (r"limits\.queue_timeout", Rule(Gate.QUEUE, "limits.queue_timeout", "it waited too long for its place", True)),
    (r"start deadline passed while it waited", Rule(Gate.QUEUE, "start_deadline", "it waited beyond its deadline")),
    (r"limits\.prepare_timeout", Rule(Gate.PREPARE, "limits.prepare_timeout", "preparing it took too long", True)),
    (r"^not ready by its deadline", Rule(Gate.PREPARE, "start_deadline", "it could not be made ready in time")),
    (r"engine did not answer before", Rule(Gate.PREPARE, "start_deadline", "the engine did not answer in time")),
    (r"went on beyond its start deadline", Rule(Gate.PREPARE, "start_deadline", "it was not ready in time")),
    (r"; then paused$", Rule(Gate.LATENESS, "pause", "nobody decided until its job was paused", True)),
    (r"; start deadline passed$", Rule(Gate.LATENESS, "start_deadline", "it was noticed later than it may start")),
    (r"; catch_up_limit: ", Rule(Gate.CATCH_UP, "catch_up_limit", "later slots were due, and filled the limit")),
    (r"; catch_up: none$", Rule(Gate.CATCH_UP, "catch_up", "it was noticed late, and nothing is caught up")),
    (r"only the latest slot is caught up", Rule(Gate.CATCH_UP, "catch_up", "only the latest slot is caught up")),
    (r"^not installed: ", Rule(Gate.POLICY, "apply", "its job could not be installed", True)),
    (r"^unavailable: ", Rule(Gate.POLICY, "on_retire", "its job was being retired")),
    (r"^forbidden: ", Rule(Gate.POLICY, "policy", "policy does not allow its job", True)),
    (r"^suspended", Rule(Gate.SUSPEND, "suspend", "its job was suspended in git")),
    (r"^paused", Rule(Gate.PAUSE, "pause", "its job was paused", True)),
    (r"^stopped by ", Rule(Gate.RUN, "stop", "somebody stopped it", True)),
)  # fmt: skip
_ROWS = tuple((re.compile(pattern), rule) for pattern, rule in _TABLE)
_UNKNOWN = {
    Disposition.SKIPPED: Rule(Gate.OVERLAP, "", "it was left out"),
    Disposition.MISSED: Rule(Gate.LATENESS, "", "it was not started in time"),
    Disposition.UNAVAILABLE: Rule(Gate.PREPARE, "", "it could not be started in time"),
    Disposition.SUPERSEDED: Rule(Gate.RUN, "", "something newer took its place"),
}
# How a run that had started ended, and the field that a person would look at.
_ENDS = {
    Phase.FAILED: Rule(Gate.RUN, "retries.limit", "its command failed"),
    Phase.TIMED_OUT: Rule(Gate.RUN, "timeout", "it ran longer than its timeout"),
    Phase.OOM: Rule(Gate.RUN, "resources.memory", ""),
    Phase.LOST: Rule(Gate.RUN, "retries.limit", "it ran, and how it ended cannot be known"),
    Phase.CANCELLED: Rule(Gate.RUN, "", "it was stopped"),
}
_DOWN = re.compile(
    r"^(?:not running (?P<begin>[-0-9T:]+Z) to (?P<end>[-0-9T:]+Z)|the clock was stepped|decided late)(?:; |\Z)"
)


def rule_of(disposition: Disposition, reason: str) -> Rule | None:
    """The rule that gave a slot its disposition; None if it ran."""
    if disposition in (Disposition.RAN, Disposition.LOST):
        return None
    found = next((rule for pattern, rule in _ROWS if pattern.search(reason)), None)
    return found or _UNKNOWN.get(disposition)


def rule_of_end(phase: Phase, reason: str) -> Rule | None:
    """The rule by which a run ended as it did; None if it ended well or has not ended."""
    if phase is Phase.CANCELLED:
        return next((rule for pattern, rule in _ROWS if pattern.search(reason)), _ENDS[phase])
    return _ENDS.get(phase)


def cause(reason: str, say: Callable[[datetime], str]) -> str:
    """Why it was decided late: `the service did not run from ... to ...`, instants as `say` says them; "" if it was
    not."""
    match = _DOWN.match(reason)
    if match is None:
        return ""
    if match["begin"]:
        begin, end = (datetime.fromisoformat(match[name]) for name in ("begin", "end"))
        return f"the service did not run from {say(begin)} to {say(end)}"
    return "the clock was stepped" if reason.startswith("the clock") else "it was decided late"


def blockers_of(reason: str) -> tuple[str, ...]:
    """The run ids that a reason names."""
    found = []
    for word in re.split(r"[\s,()]+", reason):
        try:
            parse_run_id(word)
        except ValueError:
            continue
        found.append(word)
    return tuple(dict.fromkeys(found))

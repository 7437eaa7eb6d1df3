"""What came of a plan: one result per action that was attempted, and the events that tell of it."""

from dataclasses import dataclass
from datetime import datetime

from ..model.errors import ReconcilerError, Transient
from ..model.event import Event, EventName
from ..model.plan import Action, ActionKind

_DONE = {
    ActionKind.CREATE: EventName.JOB_INSTALLED,
    ActionKind.REPLACE: EventName.JOB_REPLACED,
    ActionKind.HEAL: EventName.JOB_HEALED,
    ActionKind.MOVE: EventName.JOB_MOVED,
    ActionKind.RETIRE: EventName.JOB_RETIRED,
    ActionKind.FORBID: EventName.JOB_FORBIDDEN,
    ActionKind.PERMIT: EventName.JOB_PERMITTED,
}


@dataclass(frozen=True, slots=True)
class Result:
    """How one action ended. `transient`: the same action may succeed later by itself."""

    action: Action
    ok: bool
    error_code: str = ""
    error: str = ""
    hint: str = ""
    ref: str = ""
    transient: bool = False
    retry_after: float | None = None  # seconds, if the error said so


@dataclass(frozen=True, slots=True)
class Applied:
    """`skipped`: actions that were not attempted, because a newer revision or the end of the service pre-empted them.

    `events` are those that `report` was given, in order.
    """

    results: tuple[Result, ...] = ()
    events: tuple[Event, ...] = ()
    skipped: tuple[Action, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.skipped and all(result.ok for result in self.results)

    @property
    def stop_jobs(self) -> tuple[str, ...]:
        """Retired jobs whose active runs are to be stopped (`on_retire: stop`); apply itself touches no run."""
        return tuple(r.action.name for r in self.results if r.ok and r.action.stop_runs)


def failed(action: Action, error: ReconcilerError) -> Result:
    """The result of an expected error; its type says whether to try again."""
    transient = isinstance(error, Transient)
    after = error.retry_after if isinstance(error, Transient) else None
    return Result(action, False, error.code, str(error), error.hint, transient=transient, retry_after=after)


def event_of(result: Result, at: datetime, revision: str, plan: str) -> Event:
    """The event that tells of a result: the job's own name for what was done, or that it failed."""
    action = result.action
    fields: dict[str, str | int | float | bool | None] = {"revision": revision, "plan": plan, "why": action.why}
    if not result.ok:
        fields |= {"kind": action.kind.value, "code": result.error_code, "error": result.error, "hint": result.hint}
        return Event(EventName.JOB_FAILED, at, action.name, fields=fields)
    if action.digest:
        fields["digest"] = action.digest
    if action.moved_from:
        fields["moved_from"] = action.moved_from
    if action.changes:
        fields["changed"] = ", ".join(dict.fromkeys(change.field for change in action.changes))
    if action.stop_runs:
        fields["stop_runs"] = True
    return Event(_DONE[action.kind], at, action.name, fields=fields)

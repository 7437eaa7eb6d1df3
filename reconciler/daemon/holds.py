"""In: a plan and the desired state. Out: which jobs wait for a person and why, for the journal and for `jobs`."""

import json
from collections.abc import Iterable, Mapping

from ..apply.outcome import Result
from ..history.base import History
from ..model.desired import DesiredState, HeldJob
from ..model.event import EventName
from ..model.plan import Action, ActionKind, Plan
from ..model.problem import SpecProblem
from .events import EventStream

HELD = "held"  # meta: the jobs that wait for a person, for those who only read the ledger


class Held:
    """Keeps in the ledger which jobs are not as git says, and says it once per reason; what failed was said when it
    did. Belongs to the sync loop's thread."""

    def __init__(self, history: History, emit: EventStream) -> None:
        self._history, self._emit = history, emit
        self._waiting: dict[str, HeldJob] = {}
        self._failed: dict[str, HeldJob] = {}
        self._said: dict[str, str] = {}
        self._written = ""

    def planned(self, plan: Plan, desired: DesiredState) -> None:
        """A new plan was made: what it holds waits, and what it no longer wants has not failed."""
        wanted = {action.name for action in plan.changes}
        self._failed = {name: job for name, job in self._failed.items() if name in wanted}
        self._waiting = holds(plan, desired)
        self._show()

    @property
    def behind(self) -> tuple[int, int]:
        """(how many changes could not be made, how many jobs wait for a person). May be read from any thread."""
        failed, waiting = self._failed, self._waiting
        return len(failed.keys() - waiting.keys()), len(waiting)

    def tried(self, results: Iterable[Result]) -> None:
        """Actions were carried out."""
        now = dict(self._failed)
        for result in results:
            if result.ok:
                now.pop(result.action.name, None)
            else:
                now[result.action.name] = failed(result)
        self._failed = now
        self._show()

    def _show(self) -> None:
        reasons = {name: why(job) for name, job in self._waiting.items()}
        for name, reason in reasons.items():
            if self._said.get(name) != reason:
                self._emit.emit(EventName.JOB_HELD, job=name, why=reason, path=place(self._waiting[name]))
        self._said = reasons
        text = to_json(self._failed | self._waiting)
        if text != self._written:
            self._history.set_meta(HELD, text)
            self._written = text


def holds(plan: Plan, desired: DesiredState) -> dict[str, HeldJob]:
    """The jobs whose files cannot be used, and the live ones whose change or retirement is held: protected ones, those
    beside a broken file, those that do not converge or whose name is taken; and those whose name another file gives."""
    kept = {action.name: _kept(action) for action in plan.actions if action.kind is ActionKind.HOLD}
    waiting = {job.name: job for job in desired.refused}
    waiting |= {name: job for name, job in kept.items() if job.problems}
    return waiting | {h.name: h for h in desired.held.values()}


def _kept(action: Action) -> HeldJob:
    """Without a problem if all there is to say is that it is forbidden: that is told at the job itself."""
    problems = tuple(problem for problem in action.problems if problem.code != "forbidden")
    if not action.problems:
        problems = (SpecProblem(action.path, 1, 1, "held", action.why),)
    return HeldJob(action.name, action.path, action.owner, problems)


def failed(result: Result) -> HeldJob:
    """A change that was tried and could not be made: it is tried again, and until then the job is not as git says."""
    action = result.action
    said = f"cannot {action.kind.value}: {result.error}"
    known = next((problem for problem in action.problems if problem.code == result.error_code), None)
    place = (known.path, known.line) if known is not None else (action.path, 1)
    problem = SpecProblem(*place, 1, result.error_code, said, result.hint)
    return HeldJob(action.name, action.path, action.owner, (problem,), apply_failed=True)


def why(held: HeldJob) -> str:
    """In one line."""
    return held.problems[0].message if held.problems else ""


def place(held: HeldJob) -> str:
    """`web/x.yaml:9:1`, or the file alone where no line of it is to blame."""
    first = held.problems[0] if held.problems else None
    return f"{first.path}:{first.line}:{first.column}" if first and first.code != "held" and first.path else held.path


def to_json(held: Mapping[str, HeldJob]) -> str:
    """What `reconciler jobs` reads: the first problem of each. It may lie in another file: inherited, or taken in."""
    return json.dumps({name: _row(job) for name, job in held.items()})


def _row(job: HeldJob) -> dict[str, str | int | bool]:
    first = next((p for p in job.problems if p.is_error), SpecProblem(job.path, 1, 1, "", ""))
    return {
        "path": first.path, "owner": job.owner, "line": first.line, "column": first.column, "code": first.code,
        "message": first.message, "hint": first.hint, "apply_failed": job.apply_failed,
    }  # fmt: skip

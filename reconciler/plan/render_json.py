"""In: a Plan. Out: JSON with stable keys; a key is added, never renamed, while `version` stays.

version int · instance str · digest str (what `apply` and `approve` take) · revision, previous str (full commit ids,
previous "" at first) · ref, author, subject str · signed_by str (one of `people`, "" = nobody who is known, or nobody
asked) · committed_at float (seconds since the epoch, 0 = unknown) · exit_code 0|1|2 · refused bool · unchanged int ·
counts {kind: int} · actions [...] · refusals [{code, message, hint}] · problems [{path, line, column, pointer, code,
severity, message, hint}] · needs_approval [str] · fires null | {before, after, whole, capped, at_once, deltas {job:
int}}.

An action: kind, name, why, path, owner, digest and old_digest (of the spec; "" = none), moved_from, keep_cursor,
stop_runs, notes [str], problems [...], changes [{field, old, new, notes [str], where null | {path, line, inherited}}].
Values of the environment are never in it: such a change says "added", "removed" or "changed".
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..model.plan import Action, ActionKind, FieldChange, Plan
from ..model.problem import SpecProblem
from .exit_code import exit_code
from .timeline import Timeline
from .words import printable

VERSION = 1


def render(plan: Plan, *, instance: str = "", times: Timeline | None = None) -> str:
    """One JSON document, indented, ending in a newline."""
    return json.dumps(_clean(to_data(plan, instance, times)), indent=2, ensure_ascii=True) + "\n"


def to_data(plan: Plan, instance: str = "", times: Timeline | None = None) -> dict[str, Any]:
    """The document as dicts and lists, before control characters are taken out."""
    counts = {kind.value: sum(action.kind is kind for action in plan.actions) for kind in ActionKind}
    return {
        "version": VERSION,
        "instance": instance,
        "digest": plan.digest,
        "revision": plan.revision,
        "previous": plan.previous,
        "ref": plan.ref,
        "author": plan.author,
        "subject": plan.subject,
        "signed_by": plan.signed_by,
        "committed_at": plan.committed_at,
        "exit_code": exit_code(plan),
        "refused": plan.refused,
        "unchanged": plan.unchanged,
        "counts": counts,
        "actions": [_action(action) for action in plan.actions],
        "refusals": [{"code": r.code, "message": r.message, "hint": r.hint} for r in plan.refusals],
        "problems": [_problem(problem) for problem in plan.problems],
        "needs_approval": list(plan.needs_approval),
        "fires": None if times is None else _fires(times),
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "kind": action.kind.value,
        "name": action.name,
        "why": action.why,
        "path": action.path,
        "owner": action.owner,
        "digest": action.digest,
        "old_digest": action.old_digest,
        "moved_from": action.moved_from,
        "keep_cursor": action.keep_cursor,
        "stop_runs": action.stop_runs,
        "changes": [_change(change) for change in action.changes],
        "notes": list(action.notes),
        "problems": [_problem(problem) for problem in action.problems],
    }


def _change(change: FieldChange) -> dict[str, Any]:
    at = change.where
    where = None if at is None else {"path": at.path, "line": at.line, "inherited": at.inherited}
    return {"field": change.field, "old": change.old, "new": change.new, "notes": list(change.notes), "where": where}


def _problem(problem: SpecProblem) -> dict[str, Any]:
    return {
        "path": problem.path,
        "line": problem.line,
        "column": problem.column,
        "pointer": problem.pointer,
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
        "hint": problem.hint,
    }


def _fires(times: Timeline) -> dict[str, Any]:
    return {
        "before": times.before,
        "after": times.after,
        "whole": times.whole,
        "capped": times.capped,
        "at_once": times.at_once,
        "deltas": dict(times.deltas),
    }


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_clean(item) for item in value]
    return value

"""In: a Plan. Out: its lines of plain text, each with a style; text and Markdown are made from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ..model.plan import Action, ActionKind, FieldChange, Plan
from ..model.problem import SpecProblem
from . import words
from .changes import SCRIPTS
from .timeline import Timeline

VALUE_WIDTH = 60
NAME_WIDTH = 40
ARROW_WIDTH = 48  # where notes stand beside `old -> new`; longer ones push them out
MOST_PROBLEMS = 50  # of a plan that belong to no action; the rest is counted


class Style(StrEnum):
    PLAIN = "plain"
    STRONG = "strong"
    FAINT = "faint"
    GOOD = "good"
    CHANGE = "change"
    BAD = "bad"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Line:
    """`text` is as it came, control characters included: whoever shows it makes it printable."""

    text: str
    style: Style = Style.PLAIN


LOOK: dict[ActionKind, tuple[str, str, Style]] = {
    ActionKind.CREATE: ("+", "create", Style.GOOD),
    ActionKind.REPLACE: ("~", "replace", Style.CHANGE),
    ActionKind.HEAL: ("*", "heal", Style.CHANGE),
    ActionKind.MOVE: (">", "move", Style.CHANGE),
    ActionKind.RETIRE: ("-", "retire", Style.BAD),
    ActionKind.HOLD: ("!", "held", Style.WARN),
    ActionKind.FORBID: ("!", "forbid", Style.BAD),
    ActionKind.PERMIT: ("+", "permit", Style.GOOD),
}


def header(plan: Plan, instance: str, now: datetime | None) -> Line:
    """`db1   9f3c2e1 -> 41d7a90 (main)   Anna Roth, 4 min ago: "subject"`."""
    old, new = words.short_commit(plan.previous), words.short_commit(plan.revision)
    moved = f"at {new}" if plan.previous == plan.revision else f"{old} -> {new}"
    parts = [instance] if instance else []
    parts.append(moved + (f" ({plan.ref})" if plan.ref else ""))
    when = words.ago(plan.committed_at, now) if now is not None else ""
    signed = f"signed by {plan.signed_by}" if plan.signed_by else ""
    who = ", ".join(part for part in (plan.author, when, signed) if part)
    subject = f'"{words.shorten(plan.subject, 100)}"' if plan.subject else ""
    parts += [": ".join(part for part in (who, subject) if part)] if who or subject else []
    return Line("   ".join(parts), Style.STRONG)


def body(plan: Plan) -> Iterator[Line]:
    """Every action with its changes, notes and problems, then the problems that belong to none."""
    width = min(NAME_WIDTH, max((len(action.name) for action in plan.actions), default=0))
    told: set[SpecProblem] = set()
    for action in plan.actions:
        told.update(action.problems)
        yield from _action(action, width)
    rest = [problem for problem in plan.problems if problem not in told]
    for problem in rest[:MOST_PROBLEMS]:
        yield from _problem(problem)
    if len(rest) > MOST_PROBLEMS:
        yield Line(f"... and {len(rest) - MOST_PROBLEMS} more problems: reconciler validate", Style.FAINT)


def _action(action: Action, width: int) -> Iterator[Line]:
    symbol, word, style = LOOK[action.kind]
    first, hint, problems = _headline(action)
    yield Line(f"{symbol} {action.name:<{width}}  {word:<7}  {first}".rstrip(), style)
    yield from _changes(action)
    if hint:
        yield Line(f"    {hint}")
    for problem in problems:
        yield from _problem(problem, indent="    ")
    for note in action.notes:
        yield Line(f"    {note}", Style.WARN if note.startswith("! ") else Style.PLAIN)


def _headline(action: Action) -> tuple[str, str, tuple[SpecProblem, ...]]:
    """(what stands in the first line, the hint below it, the problems still to be told)."""
    problems = action.problems
    said = next((problem for problem in problems if problem.message == action.why), None)
    if said is not None:
        return _said(said), said.hint, tuple(problem for problem in problems if problem is not said)
    if action.kind is ActionKind.REPLACE and _place(action):
        return _place(action), "", problems
    return action.why, "", problems


def _place(action: Action) -> str:
    """The first line of the job's own file that changed; "" if none did."""
    own = [change.where for change in action.changes if change.where is not None and not change.where.inherited]
    first = min(own, key=lambda where: where.line, default=None)
    return f"{first.path}:{first.line}" if first is not None else ""


def _changes(action: Action) -> Iterator[Line]:
    width = max((len(change.field) for change in action.changes), default=0)
    said = [_old_new(change) for change in action.changes]
    arrow = min(ARROW_WIDTH, max((len(text) for text in said), default=0))
    for change, text in zip(action.changes, said, strict=True):
        script = change.field in SCRIPTS
        notes = [] if script else list(change.notes)
        notes += _where(change, action)
        style = Style.WARN if any(note.startswith("! ") for note in notes) else Style.PLAIN
        yield Line(f"    {change.field:<{width}}  {text:<{arrow}}  {'   '.join(notes)}".rstrip(), style)
        for line in change.notes if script else ():
            yield Line(f"      {line}", Style.FAINT)


def _old_new(change: FieldChange) -> str:
    old, new = (words.shorten(value, VALUE_WIDTH) for value in (change.old, change.new))
    return f"{old}  ->  {new}" if old else new


def _where(change: FieldChange, action: Action) -> list[str]:
    """Where a value comes from, if the first line does not say it."""
    where = change.where
    if where is None:
        return []
    if where.inherited:
        return [f"inherited from {where.path}:{where.line}"]
    return [] if f"{where.path}:{where.line}" == _place(action) else [f":{where.line}"]


def _said(problem: SpecProblem) -> str:
    at = f"{problem.path}:{problem.line}:{problem.column}: " if problem.path else ""
    return f"{at}{'' if problem.is_error else 'warning: '}{problem.message}"


def _problem(problem: SpecProblem, *, indent: str = "") -> Iterator[Line]:
    yield Line(indent + _said(problem), Style.BAD if problem.is_error else Style.WARN)
    if problem.hint:
        yield Line(f"{indent}    {problem.hint}")


def footer(plan: Plan, times: Timeline | None, *, applying: bool = False) -> Iterator[Line]:
    """Fires of the next day, refusals, the one-line summary, what to type next; nothing if it is being applied."""
    if times is not None and times.deltas:
        yield Line(fires_line(times))
        yield Line("")
    for refusal in plan.refusals:
        yield Line(f"REFUSED  {refusal.message}", Style.BAD)
        yield Line(f"         {refusal.hint}")
    if plan.refusals:
        yield Line("")
    yield Line(f"Plan {plan.digest}: {summary(plan)}.", Style.STRONG)
    if plan.refused:
        yield Line("Nothing is changed while it is refused; live jobs keep firing.")
    elif plan.changes:
        stopped = [a.name for a in plan.actions if a.kind is ActionKind.RETIRE and a.stop_runs]
        effect = "No run starts or stops by applying"
        if stopped:
            effect = f"Applying ends the active runs of {words.names(stopped)}"
        said = "It is applied now" if applying else f"Apply exactly this:  reconciler apply {plan.digest}"
        yield Line(f"{effect}. {said}{'.' if applying else ''}")


def fires_line(times: Timeline) -> str:
    most = 4
    said = ", ".join(f"{delta:+d} {name}" for name, delta in times.deltas[:most])
    more = f", {len(times.deltas) - most} more" if len(times.deltas) > most else ""
    scope = "" if times.whole else " of these jobs"
    least = "at least " if times.capped else ""
    once = f"   at most {times.at_once} at once" if times.at_once else ""
    return f"Fires in the next 24 h{scope}   {least}{times.before} -> {times.after} ({said}{more}){once}"


def summary(plan: Plan) -> str:
    """`1 to create, 1 to replace, 1 held, 57 unchanged`."""
    count = {kind: sum(action.kind is kind for action in plan.actions) for kind in ActionKind}
    parts = [f"{count[kind]} to {LOOK[kind][1]}" for kind in (
        ActionKind.CREATE, ActionKind.REPLACE, ActionKind.MOVE, ActionKind.HEAL, ActionKind.RETIRE, ActionKind.FORBID,
        ActionKind.PERMIT,
    ) if count[kind]]  # fmt: skip
    parts += [f"{count[ActionKind.HOLD]} held"] if count[ActionKind.HOLD] else []
    if not parts:
        return f"nothing to do, {plan.unchanged} unchanged"
    return ", ".join([*parts, f"{plan.unchanged} unchanged"])

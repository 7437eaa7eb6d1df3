"""In: a Plan. Out: Markdown for a pull-request comment: summary first, detail folded, at most 60,000 characters."""

import re
from datetime import datetime

from ..model.plan import Plan
from . import words
from .layout import Line, body, fires_line, summary
from .timeline import Timeline
from .words import printable

LIMIT = 60_000  # forges refuse comments somewhat above 65,000 characters
LINE_LIMIT = 1_000
MOST_REFUSALS = 10


def render(plan: Plan, *, instance: str = "", now: datetime | None = None, times: Timeline | None = None) -> str:
    """One comment, ending in a newline. Nothing that comes from a repository can leave its code span or fence."""
    head = _head(plan, instance, now, times)
    tail = _tail(plan)
    lines = list(body(plan))
    fence = _fence(lines)
    frame = f"<details><summary>Show the plan</summary>\n\n{fence}diff\n{{}}{fence}\n\n</details>\n\n"
    room = LIMIT - len(head) - len(tail) - len(frame) - 80
    return head + (frame.replace("{}", _fitting(lines, room), 1) if lines else "") + tail


def _head(plan: Plan, instance: str, now: datetime | None, times: Timeline | None) -> str:
    of = f" {_code(instance)}" if instance else ""
    verdict = "**refused**: " if plan.refused else ""
    said = [f"### reconciler{of}: {verdict}{summary(plan)}", ""]
    commit = f"{_code(words.short_commit(plan.previous))} → {_code(words.short_commit(plan.revision))}"
    about = [commit + (f" ({_code(plan.ref)})" if plan.ref else "")]
    about += [_code(words.shorten(plan.subject, 100))] if plan.subject else []
    about += [words.ago(plan.committed_at, now)] if now is not None and plan.committed_at else []
    about += [f"signed by {_code(plan.signed_by)}"] if plan.signed_by else []
    said += [" · ".join(about), ""]
    for refusal in plan.refusals[:MOST_REFUSALS]:
        said += [f"- **{_code(refusal.code)}** {_code(refusal.message)}", f"  {_code(refusal.hint)}"]
    for reason in plan.needs_approval[:MOST_REFUSALS] if not plan.refused else ():
        said.append(f"- needs approval: {_code(reason)}")
    if times is not None and times.deltas:
        said += [] if said[-1] == "" else [""]
        said.append(_code(fires_line(times)))
    return "\n".join(said).rstrip() + "\n\n"


def _tail(plan: Plan) -> str:
    if plan.refused or not plan.changes:
        return f"Plan {_code(plan.digest)}\n"
    return f"Plan {_code(plan.digest)}. Apply exactly this: {_code('reconciler apply ' + plan.digest)}\n"


def _fitting(lines: list[Line], room: int) -> str:
    """As many whole lines as fit, and how many do not."""
    kept: list[str] = []
    for index, line in enumerate(lines):
        text = words.shorten(printable(line.text), LINE_LIMIT) + "\n"
        if len(text) > room:
            kept.append(f"... {len(lines) - index} more lines: reconciler plan\n")
            break
        room -= len(text)
        kept.append(text)
    return "".join(kept)


def _fence(lines: list[Line]) -> str:
    """Longer than any run of backticks inside."""
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line.text)), default=0)
    return "`" * max(3, min(longest, LINE_LIMIT) + 1)


def _code(text: str) -> str:
    """A code span; backticks in it become quotes, so that it cannot end early."""
    return "`" + words.shorten(printable(text).replace("`", "'"), LINE_LIMIT) + "`"

"""In: a Plan. Out: the text of `reconciler plan`, with ANSI colours if asked."""

from datetime import datetime

from ..model.plan import Plan
from .layout import Line, Style, body, footer, header
from .timeline import Timeline
from .words import printable

_RESET = "\x1b[0m"
_COLOURS = {
    Style.STRONG: "\x1b[1m", Style.FAINT: "\x1b[2m", Style.GOOD: "\x1b[32m", Style.CHANGE: "\x1b[33m",
    Style.BAD: "\x1b[31m", Style.WARN: "\x1b[35m",
}  # fmt: skip


def render(
    plan: Plan, *, colour: bool = False, instance: str = "", now: datetime | None = None,
    times: Timeline | None = None, applying: bool = False,
) -> str:  # fmt: skip
    """The whole screen, ending in a newline. `now` (aware) dates the commit; `times` adds the line on fires;
    `applying`: whoever shows it carries it out by itself."""
    lines = [header(plan, instance, now), Line("")]
    actions = list(body(plan))
    lines += [*actions, Line("")] if actions else []
    lines += footer(plan, times, applying=applying)
    return "".join(f"{shown(line, colour)}\n" for line in lines)


def shown(line: Line, colour: bool) -> str:
    """The one place where text leaves: nothing in it can move the cursor, recolour or reorder what is read."""
    text, code = printable(line.text), _COLOURS.get(line.style, "") if colour else ""
    return f"{code}{text}{_RESET}" if code and text else text

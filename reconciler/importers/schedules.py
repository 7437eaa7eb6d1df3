"""In: schedules as other systems write them. Out: the same fires in our words, or `manual` where there are none."""

import re
from math import ceil

from ..schedule.expression import MACROS
from ..spec.durations import format_duration
from .draft import Draft, Mark
from .model import NoteCode
from .values import WrongValue, go_seconds

_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+", re.IGNORECASE)
_STEP = re.compile(r"[*?]/([0-9]{1,9})\Z")
_RANDOM = re.compile(r"([0-9]{1,2})?~([0-9]{1,2})?(/[0-9]{1,2})?\Z")
_DAYS, _WEEKDAYS = "1-31", "0-6"


def by_hand(draft: Draft, at: Mark, said: str, why: str, hint: str = "") -> None:
    draft.keep("schedule", "manual", at)
    draft.note(at, NoteCode.BY_HAND, f'"{said[:120]}": {why}', hint or "Give it a schedule.")


def keep_zone(draft: Draft, at: Mark, said: str, usual: str, what: str) -> None:
    """`said` by the file, else the caller's, else the `usual` one of that system; "" = the repository decides."""
    zone = said or draft.batch.options.timezone or usual
    if zone:
        draft.keep("timezone", zone, at)
    if not said and not draft.batch.options.timezone:
        taken = f"{zone} is written" if zone else "that of the repository or the service counts"
        draft.batch.once(at, NoteCode.ZONE, f"{what}; {taken}", "Import with `--timezone ZONE`, or write it.")


def keep_go(draft: Draft, text: str, at: Mark, *, usual_zone: str, what: str, zone: str = "") -> None:
    """A line for robfig's parser, as Kubernetes, Ofelia and Saturn have it: five fields or six, macros, `@every`."""
    line = " ".join(text.split())
    match = _ZONE.match(line)
    if match is not None:
        zone, line = match[1], line[match.end() :]
    if line.startswith("@every"):
        _keep_every(draft, line, at)
        return
    keep_zone(draft, at, zone, usual_zone, what)
    if line.startswith("@"):
        _keep_macro(draft, line, at)
        return
    draft.keep("schedule", _either(draft, line, at), at)


def _keep_macro(draft: Draft, line: str, at: Mark) -> None:
    if line.lower() in MACROS:
        draft.keep("schedule", line.lower(), at)
    elif line.lower() == "@reboot":
        hint = "Give it a schedule; or run it by hand. What was missed while the host was down is caught up anyway."
        by_hand(draft, at, line, "nothing here fires when the host comes up", hint)
    else:
        by_hand(draft, at, line, "no such macro is known here")


def _keep_every(draft: Draft, line: str, at: Mark) -> None:
    """Go's durations, in whole seconds as there; here they count on over a restart."""
    try:
        every = max(ceil(go_seconds(line.removeprefix("@every").strip())), 1)
    except WrongValue as wrong:
        by_hand(draft, at, line, f"the interval is not {wrong}")
        return
    draft.keep("schedule", f"@every {format_duration(every)}", at)
    draft.batch.once(at, NoteCode.MEANING, "`@every` counted from the start of the scheduler there, here from when the "
                     "job was first applied")  # fmt: skip


def _either(draft: Draft, line: str, at: Mark) -> str:
    """There, `*/2` is no star: with both day fields restricted, a day that is either counts. Here, as in Debian's cron,
    it is one. A range says it without a star."""
    parts = line.split(" ")
    if len(parts) not in (5, 6) or parts[-3] in "*?" or parts[-1] in "*?":
        return line
    for place, span in ((-3, _DAYS), (-1, _WEEKDAYS)):
        step = _STEP.match(parts[place])
        if step is not None:
            parts[place] = f"{span}/{step[1]}"
    found = " ".join(parts)
    if found != line:
        draft.note(at, NoteCode.SCHEDULE, f'"{line[:120]}" fires on either day there; it is "{found[:120]}" here')
    return found


def keep_cron(draft: Draft, line: str, at: Mark) -> None:
    """A line of crontab(5): five fields or a macro. `~` is a random value of a range; here the job's name picks it."""
    if line.startswith("@"):
        _keep_macro(draft, line, at)
        return
    parts = [_spread(part) for part in line.split()]
    found = " ".join(parts)
    draft.keep("schedule", found, at)
    if found != " ".join(line.split()):
        draft.note(at, NoteCode.SCHEDULE, f'the random "{line}" is "{found}" here: fixed, by the name of the job')


def _spread(part: str) -> str:
    match = _RANDOM.match(part)
    if match is None:
        return part
    low, high, step = match.groups()
    span = f"({low or 0}-{high})" if high else ""
    return f"H{span}{step or ''}" if high or not low else part

"""In: a chain. Out: its lines of text, each with a style, as `reconciler why` prints them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ..plan import words
from ..plan.layout import Line, Style
from .chain import Attempt, Blocker, Chain, Said, Verdict
from .say import clock, day, near, span, utc

LOOK = {
    Verdict.OK: Style.GOOD, Verdict.WILL_FIRE: Style.GOOD, Verdict.RUNNING: Style.CHANGE, Verdict.WAITING: Style.CHANGE,
    Verdict.RETRYING: Style.WARN, Verdict.DUE: Style.WARN, Verdict.MAY_NOT_FIRE: Style.WARN,
    Verdict.NO_SLOT: Style.WARN, Verdict.FORGOTTEN: Style.WARN, Verdict.PAUSED: Style.WARN,
    Verdict.SUSPENDED: Style.WARN, Verdict.CANCELLED: Style.WARN,
}  # fmt: skip
LOG_WIDTH = 100
EXACT = timedelta(minutes=1)  # of what was decided so near to its instant, milliseconds are shown
_LABEL = 11


def lines(chain: Chain) -> Iterator[Line]:
    """The whole screen."""
    yield Line(_headline(chain), LOOK.get(chain.verdict, Style.BAD))
    if chain.slot is None:
        yield from _nearest(chain)
        return
    links = list(_links(chain))
    if links:
        yield Line("")
        yield from links
    yield from _block("Next", [(f"{near(step.at, chain.zone, chain.now)}", step.what) for step in chain.next])
    yield from _block("You can", [(can.do, can.why) for can in chain.can])


def _headline(chain: Chain) -> str:
    at = chain.slot or chain.asked
    when = f"{day(at, chain.zone, chain.now)} {chain.zone}{utc(at, chain.zone)}"
    if chain.slot is None:
        return f"{chain.job}: {when} {chain.headline}."
    told = f", {chain.headline}" if chain.headline else ""
    return f"{chain.job}, slot {when}:  {chain.verdict.value.upper()}{told}."


def _nearest(chain: Chain) -> Iterator[Line]:
    found = [("before", chain.before), ("after", chain.after)]
    for word, at in found:
        if at is not None:
            when = day(at, chain.zone, chain.now)
            yield _link("nearest" if word == "before" or chain.before is None else "", f"{when}   the slot {word} it")


def _links(chain: Chain) -> Iterator[Line]:
    if chain.said is not None:
        yield from _said(chain, chain.said)
    yield from _due(chain)
    for place, rule in enumerate(chain.rules):
        source = f"   ({rule.source})" if rule.source else ""
        yield _link("" if place else "rule", f"{rule.name}: {rule.value}{source}")
    for one in chain.blockers:
        yield from _blocker(chain, one)
    for place, attempt in enumerate(chain.attempts):
        yield from _attempt(chain, attempt, first=place == 0)
    if chain.usual is not None and not chain.blockers:
        usual = chain.usual
        yield _link("takes", f"p50 {span(usual.p50)}, p95 {span(usual.p95)} (of {usual.count} runs)")
    if chain.not_it:
        fine = "was" if len(chain.not_it) == 1 else "were"
        yield _link("not it", f"{_and(chain.not_it)} {fine} fine then")
    for note in chain.notes:
        yield Line(f"  ! {note}", Style.WARN)


def _said(chain: Chain, said: Said) -> Iterator[Line]:
    commit = said.commit
    who = f"  {commit.author}" if commit.author else ""
    when = f", {_committed(commit.at, chain)}" if commit.at else ""
    place = f"{said.path}{f':{said.line}' if said.line else ''}"
    parts = [f"{words.short_commit(commit.id)}{who}{when}", place, f'schedule: "{said.schedule}"']
    yield _link("said by", "   ".join(part for part in parts if part))
    if commit.subject:
        yield _link("", f'"{words.shorten(commit.subject, LOG_WIDTH)}"')
    notes = [f"applied {near(said.applied_at, chain.zone, chain.now)}"] if said.applied_at is not None else []
    notes += [said.note] if said.note else []
    if notes:
        yield _link("", "; ".join(notes))


def _committed(at: float, chain: Chain) -> str:
    return day(datetime.fromtimestamp(int(at), UTC), chain.zone, chain.now)


def _due(chain: Chain) -> Iterator[Line]:
    assert chain.slot is not None
    if chain.span is not None:
        first, last = (day(at, chain.zone, chain.now) for at in (chain.span.first, chain.span.last))
        yield _link("due", f"one of {chain.span.count} slots that ended alike, {first} to {last}")
        if chain.decided_at is not None:
            yield _link("", f"the last of them decided {near(chain.decided_at, chain.zone, chain.now)}")
        return
    if chain.decided_at is None:
        return
    ahead = chain.decided_at < chain.slot
    word = "claimed ahead" if ahead else "decided"
    close = abs(chain.decided_at - chain.slot) < EXACT
    when = clock(chain.decided_at, chain.zone, exact=True) if close else near(chain.decided_at, chain.zone, chain.slot)
    yield _link("due", f"{clock(chain.slot, chain.zone)}   {word} {when}")


def _blocker(chain: Chain, one: Blocker) -> Iterator[Line]:
    since = near(one.since, chain.zone, chain.now)
    if one.until is None:
        yield _link("blocker", f"{one.run_id}, {one.phase} since {since}, now {span(chain.now - one.since)}")
    else:
        until = near(one.until, chain.zone, chain.now)
        took = span(one.until - one.since)
        yield _link("blocker", f"{one.run_id}, from {since} to {until}, {took}: {one.phase.replace('_', ' ')}")
    usual = f"usual p95: {span(one.usual)} (of {one.sample} runs). " if one.usual is not None else ""
    line = ""
    if one.last_line and one.line_at is not None:
        ago = span(chain.now - one.line_at)
        line = f'Last log line {ago} ago: "{words.shorten(one.last_line, LOG_WIDTH)}"'
    if usual or line:
        yield _link("", f"{usual}{line}".rstrip())


def _attempt(chain: Chain, one: Attempt, *, first: bool) -> Iterator[Line]:
    cell = f"cell {one.cell}, " if one.cell is not None else ""
    who = one.actor if one.trigger == "manual" else f"{one.trigger} {one.cause}".rstrip()
    parts = [f"{cell}attempt {one.attempt} ({who})  {_ended(one)}"]
    if one.started_at is not None:
        late = f"{span(one.late)} late" if one.late is not None and one.late >= 0.05 else ""
        parts.append(f"started {near(one.started_at, chain.zone, chain.now)}{f', {late}' if late else ''}")
    if one.took is not None:
        parts.append(f"took {span(one.took)}")
    yield _link("runs" if first else "", "   ".join(parts))
    if one.hint:
        yield _link("", f"  {one.hint}")
    if one.last_line:
        yield _link("", f'  last log line: "{words.shorten(one.last_line, LOG_WIDTH)}"')


def _ended(one: Attempt) -> str:
    """`failed (exit), exit 3: reason`; nothing twice."""
    word = one.phase.replace("_", " ")
    kind = f" ({one.failure})" if one.failure and one.failure != word else ""
    code = f", exit {one.exit_code}" if one.exit_code is not None and one.phase != "succeeded" else ""
    reason = f": {one.reason}" if one.reason and one.reason != f"exit {one.exit_code}" else ""
    return f"{word}{kind}{code}{reason}"


def _block(title: str, rows: list[tuple[str, str]]) -> Iterator[Line]:
    if not rows:
        return
    yield Line("")
    width = max(len(left) for left, _ in rows)
    for place, (left, right) in enumerate(rows):
        yield Line(f"{title if not place else '':<{_LABEL}}  {left:<{width}}   {right}".rstrip())


def _link(label: str, text: str) -> Line:
    return Line(f"  {label:<{_LABEL}}{text}")


def _and(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

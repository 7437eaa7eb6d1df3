"""In: verdicts. Out: lines, a Markdown table, and the page of it."""

from collections.abc import Mapping, Sequence

from .measure import Verdict

PEERS = "docker-compose (rows 9, 12), cron (6, 7, 11), yacron (6, 11) and APScheduler (5, 6, 11)"
HEAD = "| # | measured | ours | against | theirs | ratio (95 %) | reach | met |\n|---|---|---|---|---|---|---|---|"

PAGE = """\
# Benchmarks

Written by `make bench ARGS="--write docs/benchmarks.md"`, from one run; not to be edited by hand. To make it anew,
take a machine that does nothing else (a Docker Engine of its own is started and ended; that needs root), and expect
up to ten minutes a row, and some for setting up. `ARGS="9 10 --minutes 2"` runs some rows and bounds them;
`--quick` only shows that they run.

Ours and each peer take turns in one run, in an order that changes. What counts is the *ratio* of the medians,
ours / theirs, with its 95 % interval (whole rounds are drawn again); absolute times are those of this machine. *Met*
is `yes` if the whole interval reaches the target, `no` if none of it does, else `unclear`: then the run was too short,
or the machine too busy. A line without a target is there to be looked at.

{facts}

{rows}

{table}
{absent}"""


def page(verdicts: Sequence[Verdict], facts: Mapping[str, str], titles: Mapping[int, str]) -> str:
    """The whole page. `titles`: of every row that was to be run."""
    found = {verdict.row for verdict in verdicts}
    broken = [f"Row {row} could not be measured in this run." for row in titles if row not in found]
    return PAGE.format(
        facts="\n".join(f"* {what}: {which}" for what, which in facts.items()),
        rows=" · ".join(f"**{row}** {title}" for row, title in titles.items()), table=table(verdicts),
        absent="\n".join(["", *broken, f"Not here, since the locks do not have them: {PEERS}.", ""]),
    )  # fmt: skip


def amount(value: float, unit: str) -> str:
    """Three significant digits, in a unit that reads well."""
    if unit != "s":
        return f"{value:.3g} {unit}"
    for factor, name in ((1.0, "s"), (1e3, "ms")):
        if value * factor >= 1 or name == "ms":
            return f"{value * factor:.3g} {name}"
    return ""


def _ours(verdict: Verdict) -> str:
    said = amount(verdict.ours, verdict.unit)
    return said if verdict.tail is None else f"{said}, p99 {amount(verdict.tail, verdict.unit)}"


def _reach(verdict: Verdict) -> str:
    if verdict.reach is None:
        return ""
    if verdict.against:
        return f"{verdict.reach:g}"
    tail = f", p99 {amount(verdict.tail_reach, verdict.unit)}" if verdict.tail_reach is not None else ""
    return amount(verdict.reach, verdict.unit) + tail


def _cells(verdict: Verdict) -> list[str]:
    ratio = f"{verdict.ratio:.3g} ({verdict.low:.3g}-{verdict.high:.3g})" if verdict.against else ""
    theirs = amount(verdict.other, verdict.unit) if verdict.against else ""
    reach = _reach(verdict)
    return [str(verdict.row), verdict.what, _ours(verdict), verdict.against, theirs, ratio, reach, verdict.met]


def line(verdict: Verdict) -> str:
    """One verdict for a terminal."""
    _, what, ours, against, theirs, ratio, reach, met = _cells(verdict)
    versus = f" against {against} {theirs}: {ratio}" if against else ""
    wanted = f", reach {reach}: {met}" if reach else ""
    return f"{what}: {ours}{versus}{wanted} [{verdict.rounds} rounds]"


def table(verdicts: Sequence[Verdict]) -> str:
    return "\n".join([HEAD, *("| " + " | ".join(_cells(verdict)) + " |" for verdict in verdicts)])

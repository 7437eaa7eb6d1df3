"""In: verdicts. Out: lines and a Markdown table."""

from collections.abc import Sequence

from .measure import Verdict

HEAD = "| # | measured | ours | against | theirs | ratio (95 %) | reach | met |\n|---|---|---|---|---|---|---|---|"


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

"""In: an explanation. Out: its lines of text, and plain data with stable keys."""

from collections.abc import Iterator
from typing import Any

from ..plan import words
from ..plan.layout import Line, Style
from .explain import Explanation
from .say import day, span, utc
from .settings import DEFAULT
from .why_json import durations_data, iso, said_data

_LABEL = 10


def lines(found: Explanation) -> Iterator[Line]:
    """The whole screen of `reconciler explain`."""
    yield Line(_head(found), Style.STRONG)
    if found.barrier:
        yield Line(f"! it does not fire at present: {found.barrier}", Style.WARN)
    yield Line("")
    for sentence in found.sentences:
        yield _row(sentence.about, f"{sentence.text}{_sources(sentence.sources)}")
    if found.durations is not None:
        usual = found.durations
        every = f"; smallest interval {words.seconds(found.interval)}" if found.interval is not None else ""
        yield _row("takes", f"p50 {span(usual.p50)}, p95 {span(usual.p95)} (of {usual.count} runs){every}")
    elif found.interval is not None:
        yield _row("interval", f"at least {words.seconds(found.interval)} between two slots")
    yield from _times(found)
    for warning in found.warnings:
        yield Line(f"! {warning}", Style.WARN)


def _head(found: Explanation) -> str:
    parts = [found.job, found.expression]
    if found.said is not None:
        place = f"{found.said.path}{f':{found.said.line}' if found.said.line else ''}"
        parts.append(f"{place} at {words.short_commit(found.said.commit.id)}")
    return "   ".join(parts)


def _row(label: str, text: str) -> Line:
    return Line(f"  {label:<{_LABEL}}  {text}")


def _sources(sources: tuple[tuple[str, str], ...]) -> str:
    """`   (timeout: web/x.yaml:9; stop_grace_period: default)`."""
    said = "; ".join(f"{name}: {'default' if source == DEFAULT else source}" for name, source in sources)
    return f"   ({said})" if said else ""


def _times(found: Explanation) -> Iterator[Line]:
    yield Line("")
    if not found.fires:
        word, only = ("by hand", "by hand only") if found.expression == "manual" else ("never", "never")
        yield _row("next", f"{word}, and {found.follows}" if found.follows else only)
    for place, fire in enumerate(found.fires):
        when = f"{day(fire.at, found.zone, found.now)}{utc(fire.at, found.zone)}"
        yield _row("" if place else "next", f"{when}   in {span(fire.at - found.now)}")
        if fire.note:
            yield Line(f"  {'':<{_LABEL}}    {fire.note}", Style.WARN)
    for place, change in enumerate(found.changes):
        means = change.effect or "at none of its times"
        yield _row("" if place else "clocks", f"{day(change.at, found.zone, found.now)}   {change.words}: {means}")
    if found.warnings:
        yield Line("")


def data(found: Explanation) -> dict[str, Any]:
    """Every key is always there."""
    return {
        "job": found.job, "timezone": found.zone, "at": iso(found.now), "expression": found.expression,
        "said": said_data(found.said) if found.said is not None else None, "barrier": found.barrier,
        "sentences": [
            {"about": one.about, "text": one.text, "sources": dict(one.sources)} for one in found.sentences
        ],
        "fires": [{"at": iso(fire.at), "note": fire.note} for fire in found.fires],
        "clock_changes": [
            {"at": iso(change.at), "words": change.words, "effect": change.effect} for change in found.changes
        ],
        "smallest_interval": found.interval,
        "durations": durations_data(found.durations),
        "warnings": list(found.warnings),
    }  # fmt: skip

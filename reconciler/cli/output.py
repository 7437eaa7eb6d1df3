"""What the commands share: tables, colours, progress, JSON, instants and durations in words."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Timer
from typing import Any

Cell = tuple[str, str] | str  # text, or (text, rich style)

STATE_COLOURS = {
    "OK": "green", "FAILING": "red", "FORBIDDEN": "red", "MISSED": "yellow", "AHEAD": "yellow", "HELD": "yellow",
    "RETRYING": "yellow", "PAUSED": "cyan", "SUSPENDED": "cyan", "NEVER RUN": "dim",
}  # fmt: skip
QUICK = 0.5  # seconds; whoever waits longer is told what for
_WRAPPED = frozenset({"STATE", "RESULT"})
_SPARE = (
    "IMAGE",
    "PEAK",
    "TOOK",
    "ATT",
    "LATE",
    "RAN",
    "TRIGGER",
    "LAST 10",
    "SCHEDULE",
    "NEXT",
    "LAST",
)  # the least first
GAP = 2  # blanks between two columns
READABLE = 24  # characters that a wrapped column is to have at least, if it has them to say


def colour_wanted(stream: Any = None) -> bool:
    """True on a terminal, unless NO_COLOR says otherwise; FORCE_COLOR wins (both are conventions of the field)."""
    if os.environ.get("FORCE_COLOR"):
        return True
    return not os.environ.get("NO_COLOR") and (stream or sys.stdout).isatty()


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal's standard error that something takes its time; elsewhere, and if it is quick, nothing."""
    if not sys.stderr.isatty():
        yield
        return
    shown: list[Callable[[], None]] = []
    timer = Timer(QUICK, lambda: shown.append(_spin(what)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for stop in shown:
            stop()


def _spin(what: str) -> Callable[[], None]:
    """Start a spinner; what stops it."""
    from rich.console import Console

    status = Console(stderr=True).status(what)
    status.start()
    return status.stop


def plain(value: object) -> str:
    """Printable text: what comes from jobs is escaped wherever it is shown (rule S6)."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(value))


def print_json(data: Any) -> None:
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def iso(at: datetime | None) -> str | None:
    """`2026-11-24T02:00:00Z`, with milliseconds only if there are any."""
    if at is None:
        return None
    spec = "milliseconds" if at.microsecond else "seconds"
    return at.astimezone(UTC).isoformat(timespec=spec).replace("+00:00", "Z")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """A borderless table, on a terminal coloured and no wider than that. Columns never wrap into each other."""
    found = [list(row) for row in rows]
    if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):
        _print_rich(columns, found)
        return
    texts = [list(columns), *([plain(_text(cell)) for cell in row] for row in found)]
    widths = [max(len(row[place]) for row in texts) for place in range(len(columns))]
    for row in texts:
        print("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, no_color=not colour_wanted(), force_terminal=True)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    texts = [[plain(_text(cell)) for cell in row] for row in rows]
    kept = fitting(columns, texts, console.width)
    for name in (columns[place] for place in kept):
        table.add_column(name, no_wrap=name not in _WRAPPED, overflow="fold")
    for row, words in zip(rows, texts, strict=True):
        styles = ["" if isinstance(cell, str) else cell[1] for cell in row]
        table.add_row(*(Text(words[place], style=styles[place]) for place in kept))
    console.print(table)


def fitting(columns: Sequence[str], texts: Sequence[Sequence[str]], width: int) -> list[int]:
    """Places of the columns that a terminal of `width` has room for. Names, states and results always stay: a narrow
    terminal loses what is worth least, never what one looks for."""
    wide = [max(len(name), *(len(row[place]) for row in texts)) if texts else len(name)
            for place, name in enumerate(columns)]  # fmt: skip
    need = [min(wide[place], READABLE) if name in _WRAPPED else wide[place] for place, name in enumerate(columns)]
    kept = list(range(len(columns)))
    for name in _SPARE:
        if sum(need[place] + GAP for place in kept) <= width:
            break
        kept = [place for place in kept if columns[place] != name]
    return kept


def local(at: datetime | None, zone: str, now: datetime) -> str:
    """An instant as a person of that zone says it: `02:30`, `Thu 02:30`, `24 Nov 2026 02:30`."""
    if at is None:
        return "-"
    from zoneinfo import ZoneInfo

    here, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    clock = here.strftime("%H:%M:%S" if here.second else "%H:%M")
    days = (here.date() - today.date()).days
    if days == 0:
        return clock
    return f"{here:%a} {clock}" if -6 <= days <= 6 else f"{here:%d %b %Y} {clock}"


def took(seconds: float | None) -> str:
    """`0.4s`, `12s`, `4m02s`, `2h40m`, `3d4h`."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def size(count: int | None) -> str:
    """`409 MB`, decimal units; "-" if unknown."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 9.95 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def count(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"

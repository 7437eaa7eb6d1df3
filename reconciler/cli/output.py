"""What the commands share: tables, colours, JSON, instants and durations in words."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

STATE_COLOURS = {
    "OK": "green", "FAILING": "red", "FORBIDDEN": "red", "MISSED": "yellow", "HELD": "yellow", "RETRYING": "yellow",
    "PAUSED": "cyan", "SUSPENDED": "cyan", "NEVER RUN": "dim",
}  # fmt: skip


def colour_wanted(stream: Any = None) -> bool:
    """True on a terminal, unless NO_COLOR says otherwise; FORCE_COLOR wins (both are conventions of the field)."""
    if os.environ.get("FORCE_COLOR"):
        return True
    return not os.environ.get("NO_COLOR") and (stream or sys.stdout).isatty()


def plain(value: object) -> str:
    """Printable text: what comes from jobs is escaped wherever it is shown (rule S6)."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(value))


def print_json(data: Any) -> None:
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False, default=_json)
    sys.stdout.write("\n")


def _json(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def iso(at: datetime | None) -> str | None:
    """`2026-11-24T02:00:00Z`, with milliseconds only if there are any."""
    if at is None:
        return None
    spec = "milliseconds" if at.microsecond else "seconds"
    return at.astimezone(UTC).isoformat(timespec=spec).replace("+00:00", "Z")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[tuple[str, str] | str]]) -> None:
    """A borderless table; a cell is text or (text, rich style). Columns never wrap into each other."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, no_color=not colour_wanted(), force_terminal=colour_wanted() or None)
    if not console.is_terminal:
        console = Console(highlight=False, width=400, no_color=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=name not in ("STATE", "RESULT", "REASON"), overflow="fold")
    for row in rows:
        table.add_row(*(
            Text(plain(cell[0]), style=cell[1]) if isinstance(cell, tuple) else Text(plain(cell)) for cell in row
        ))  # fmt: skip
    console.print(table)


def local(at: datetime | None, zone: str, now: datetime) -> str:
    """An instant as a person of that zone says it: `02:30`, `Thu 02:30`, `24 Nov 02:30`."""
    if at is None:
        return "-"
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
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
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
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"

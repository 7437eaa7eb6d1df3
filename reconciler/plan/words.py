"""Values in the words of a job file, and text made safe to show. Used by every part of a plan."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zlib import crc32

from ..model.job import CodeRepository, FileMount, Mount, Parameter, Schedule, ScheduleKind, SecretRef, Strategy
from ..schedule.dates import days_of
from ..schedule.expression import resolved, spreads
from ..schedule.zones import find_zone
from ..spec.durations import format_duration, format_size

REPLACEMENT = "\ufffd"


def printable(text: str) -> str:
    """`text` without control, bidi, zero-width and line-breaking characters (rule S6)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\t" else REPLACEMENT for c in text)


def shorten(text: str, width: int) -> str:
    """At most `width` (>= 5) characters; both ends stay, since tags and file names differ at the end."""
    if len(text) <= width:
        return text
    tail = (width - 3) // 2
    return f"{text[: width - 3 - tail]}...{text[len(text) - tail :]}"


def short_id(image_id: str) -> str:
    """`sha256:8a1f03c2...` -> `8a1f03c2`; an id of another kind is left as it is."""
    return image_id.removeprefix("sha256:")[:8] if image_id.startswith("sha256:") else image_id


def short_commit(revision: str) -> str:
    if not revision:
        return "nothing"
    return revision[:11] if revision.startswith("dir:") else revision[:7]


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def seconds(value: object) -> str:
    return "none" if value is None else format_duration(float(str(value)))


def size(value: object) -> str:
    return "none" if value is None else format_size(int(str(value)))


def text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def listing(value: object) -> str:
    """A tuple of words as a job file's flow sequence; None = the image's own."""
    if value is None:
        return "the image's own"
    assert isinstance(value, Iterable)
    return "[" + ", ".join(str(item) for item in value) + "]"


def octal(value: object) -> str:
    return "none" if value is None else f"{int(str(value)):04o}"


def schedule(value: Schedule) -> str:
    """The line itself, or what stands for it; of several, each with what narrows it."""
    if value.kind is ScheduleKind.MANUAL:
        return "manual"
    if value.kind is ScheduleKind.AT:
        times = value.expression.split(",")
        return f"at {names(times, 3)}"
    if value.kind is ScheduleKind.SEVERAL:
        return "; ".join(_part(part, value.timezone) for part in value.parts)
    if value.kind is ScheduleKind.CRON and value.seed and spreads(value.expression):
        return f"{value.expression} ({resolved(value.expression, value.seed)})"
    return value.expression


def _part(value: Schedule, zone: str) -> str:
    said = [schedule(value)]
    said += [f"({value.timezone})"] if value.timezone != zone else []
    said += [f"from {value.start}"] if value.start else []
    said += [f"until {value.end}"] if value.end else []
    said += [f"jitter {format_duration(value.jitter)}"] if value.jitter else []
    said += [f"except {days(value.exclude)}"] if value.exclude else []
    return " ".join(said)


def days(value: str) -> str:
    """`14 days: 2026-12-24..2027-01-06` for a canonical set of days; "none" if it is empty."""
    ranges = days_of(value)
    if not ranges:
        return "none"
    count = sum(last - first + 1 for first, last in ranges)
    return f"{plural(count, 'day')}: {names(value.split(','), 3)}"


def volume(mount: Mount) -> str:
    """Compose's short form where it can say it, else the long form's words behind it."""
    base = f"tmpfs:{mount.target}" if mount.type == "tmpfs" else f"{mount.source}:{mount.target}"
    words = [base + (":ro" if mount.read_only else "")]
    words += ["external"] if mount.external else []
    words += [f"size {format_size(mount.size)}"] if mount.size is not None else []
    words += [f"mode {mount.mode:04o}"] if mount.mode is not None else []
    return " ".join(words)


def parameter(value: Parameter) -> str:
    """`integer, default 10`, `string, one of small large, to be given`."""
    words = [value.type.value]
    words += [f"one of {' '.join(value.enum)}"] if value.enum else []
    words.append("to be given" if value.default is None else f"default {value.default}")
    return ", ".join(words)


def strategy(value: Strategy) -> str:
    """`15 cells, 4 at a time: lr 3 x depth 5`, `8 cells`, `none`."""
    if not value.cells:
        return "none"
    axes = " x ".join(f"{name} {len(values)}" for name, values in value.matrix)
    return cells(value) + (f": {axes}" if axes else "") + (", fail_fast" if value.fail_fast else "")


def cells(value: Strategy) -> str:
    """`15 cells, 4 at a time`."""
    at_once = f", {value.max_parallel} at a time" if 0 < value.max_parallel < value.cells else ""
    return plural(value.cells, "cell") + at_once


def file_mount(file: FileMount) -> str:
    """Where it comes from and how long it is: never its content."""
    lines = plural(len(file.content.splitlines()), "line")
    return f"{file.origin or 'inline'}, {lines}, mode {file.mode:04o}"


def secret(refs: Sequence[SecretRef]) -> str:
    """Where it goes, and which encrypted file it is from: never what is in it."""
    return "; ".join(_secret(ref) for ref in refs)


def _secret(ref: SecretRef) -> str:
    where = f"variable {ref.env}" if ref.env else f"{ref.target}, mode {ref.mode:04o}"
    return f"{where}, encrypted file {crc32(ref.sealed.encode()):08x}" if ref.sealed else where


def instant(at: datetime, zone: str, now: datetime) -> str:
    """`09:20` today, `Thu 02:30` within a week, else `24 Dec 02:30`; in the job's own zone."""
    here, today = in_zone(at, zone), in_zone(now, zone)
    clock = f"{here:%H:%M:%S}" if here.second else f"{here:%H:%M}"
    if here.date() == today.date():
        return clock
    return f"{here:%a} {clock}" if here - today < timedelta(days=6) else f"{here:%d %b} {clock}"


def in_zone(at: datetime, zone: str) -> datetime:
    return at.astimezone(find_zone(zone) or UTC)  # a live job's zone may be gone from this machine


def ago(at: float, now: datetime) -> str:
    """`4 min ago` for seconds since the epoch; "" if unknown."""
    if not at:
        return ""
    passed = max(0.0, now.timestamp() - at)
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if passed >= length:
            return f"{int(passed // length)} {unit} ago"
    return "just now"


def names(items: Sequence[str], most: int = 5) -> str:
    """`a, b and 3 more`."""
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def repository(item: CodeRepository) -> str:
    """`git@host:team/code.git (main) at /work`."""
    part = f", {item.subpath}" if item.subpath else ""
    part += f", depth {item.depth}" if item.depth else ""
    part += ", with submodules" if item.submodules else ""
    return f"{item.url} ({item.ref}{part}) at {item.target}"

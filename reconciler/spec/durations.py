"""Durations (`1h30m` <-> seconds) and sizes (`512m` <-> bytes), as Compose writes them."""

import re
from functools import lru_cache

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d|w)", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+\Z", re.ASCII)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([bkmgt]?)b?\Z", re.ASCII | re.IGNORECASE)
_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
MAX_TEXT = 64
MAX_DURATION = 10 * 366 * 86400.0
MAX_SIZE = 1 << 60


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> float:
    """Seconds of `90s`, `1h30m`, `2d`. Raises ValueError if it is none, or longer than ten years."""
    if len(text) > MAX_TEXT or _DURATION.match(text) is None:
        raise ValueError("not a duration such as 90s, 12m or 1h30m")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds > MAX_DURATION:
        raise ValueError("longer than ten years")
    return seconds


def format_duration(seconds: float) -> str:
    """`5400.0` -> `1h30m`; whole days only where nothing is left over (`90d`, but `36h`)."""
    micros = round(seconds * 1_000_000)
    if micros and micros % (86400 * 1_000_000) == 0 and micros > 86400 * 1_000_000:
        return f"{micros // (86400 * 1_000_000)}d"
    whole, rest = divmod(micros, 1_000_000)
    units = (
        ("h", whole // 3600),
        ("m", whole // 60 % 60),
        ("s", whole % 60),
        ("ms", rest // 1000),
        ("us", rest % 1000),
    )
    return "".join(f"{value}{unit}" for unit, value in units if value) or "0s"


@lru_cache(maxsize=1024)
def parse_size(text: str) -> int:
    """Bytes of `512m`, `64g`, `1.5gb`, `1024`; k, m, g, t are powers of 1024. Raises ValueError."""
    match = _SIZE.match(text) if len(text) <= MAX_TEXT else None
    if match is None:
        raise ValueError("not a size such as 512m or 64g")
    number, unit = match.groups()
    factor = _BYTES[unit.lower()]
    size = int(number) * factor if number.isdigit() else int(float(number) * factor)
    if size > MAX_SIZE:
        raise ValueError("larger than 1024p")
    return size


def format_size(size: int) -> str:
    """`536870912` -> `512m`: exact, in the largest unit that leaves nothing over."""
    for unit in ("t", "g", "m", "k"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)

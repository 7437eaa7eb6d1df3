"""In: a node of a foreign file. Out: its value, typed; WrongValue if it has none of that kind."""

import re
from decimal import Decimal, InvalidOperation

from ..spec.durations import format_duration, format_size
from ..spec.nodes import Mapping, Node, Scalar, Sequence
from ..spec.rules import NULLS

_YES = frozenset({"true", "yes", "on", "y", "1"})
_NO = frozenset({"false", "no", "off", "n", "0"})
_GO_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_GO_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_FACTORS = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3),
    "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(1 << 10), "Mi": Decimal(1 << 20), "Gi": Decimal(1 << 30), "Ti": Decimal(1 << 40),
    "Pi": Decimal(1 << 50), "Ei": Decimal(1 << 60),
}  # fmt: skip
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,2})?)([numkMGTPE]?i?)\Z", re.ASCII)
LARGEST = 1 << 60


class WrongValue(Exception):
    """What was expected, such as "a number"."""


class Unresolved(WrongValue):
    """A variable whose value only the place knew from which the file comes."""


def is_nothing(node: Node) -> bool:
    """`null`, an empty text, list or map: nothing that could be lost."""
    if isinstance(node, Scalar):
        return node.value == "" or (not node.style and node.value in NULLS)
    return not node.items


def text_of(node: Node) -> str:
    """Any scalar, as typed."""
    if not isinstance(node, Scalar):
        raise WrongValue("text")
    value: str = node.value.replace("\r\n", "\n")
    return "" if not node.style and value in NULLS else value


def flag_of(node: Node) -> bool:
    value = text_of(node).lower()
    if value not in _YES | _NO:
        raise WrongValue("true or false")
    return value in _YES


def count_of(node: Node) -> int:
    """A whole number, not negative."""
    value = text_of(node)
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise WrongValue("a whole number")
    return int(value)


def map_of(node: Node) -> Mapping:
    if not isinstance(node, Mapping):
        raise WrongValue("a map")
    return node


def items_of(node: Node) -> list[Node]:
    if not isinstance(node, Sequence):
        raise WrongValue("a list")
    return node.items


def texts_of(node: Node) -> list[str]:
    return [text_of(item) for item in items_of(node)]


def seconds(count: float) -> str:
    """A duration as job files have it."""
    return format_duration(count)


def go_seconds(text: str) -> float:
    """Seconds of Go's `1h30m`, `1.5h`, `500ms`. Raises WrongValue."""
    parts = list(_GO_PART.finditer(text)) if len(text) <= 64 else []
    if not parts or "".join(part[0] for part in parts) != text:
        raise WrongValue("a duration such as 1h30m")
    return sum(float(part[1]) * _GO_SECONDS[part[2]] for part in parts)


def quantity(text: str) -> Decimal:
    """Kubernetes' `500m`, `1.5`, `512Mi`, `1e3`. Raises WrongValue."""
    match = _QUANTITY.match(text) if len(text) <= 40 else None
    if match is None or match[2] not in _FACTORS:
        raise WrongValue("a quantity such as 500m or 512Mi")
    try:
        found = Decimal(match[1]) * _FACTORS[match[2]]
    except InvalidOperation:
        raise WrongValue("a quantity such as 500m or 512Mi") from None
    if found > LARGEST:
        raise WrongValue("a quantity of less than 1Ei")
    return found


def cores(text: str) -> int | float:
    """Cores as job files have them."""
    found = quantity(text)
    return int(found) if found == int(found) else float(round(found, 3))


def size(text: str) -> str:
    """Bytes of a quantity, in the words of job files."""
    return format_size(int(quantity(text)))

"""Frozen dataclasses <-> JSON data, checked field by field. In: what a client sent; out: a value or ApiError."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime
from types import UnionType
from typing import Any, ClassVar, NewType, Self, Union, get_args, get_origin, get_type_hints

from ..model.errors import Permanent
from ..model.years import OUTSIDE, plausible

TEXT_LIMIT = 4096  # characters of one string
PAIRS_LIMIT = 1000  # of one map
INT_LIMIT = (1 << 62) - 1  # what files and databases can count to


LongText = NewType("LongText", str)  # as long as a request may be


class ApiError(Permanent):
    """A request that cannot be served as it was sent: answered with 400."""

    code = "bad-request"


class Shape:
    """Base of all request and response bodies. Fields: str, bool, int, float, datetime, `T | None`, tuples, Shapes,
    and `Mapping[str, T]`."""

    __slots__: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_data(cls, data: object) -> Self:
        """Raises ApiError. Unknown keys are refused: a misspelt one must not be ignored."""
        if not isinstance(data, Mapping):
            raise ApiError(f"cannot read the request: expected an object, got {_word(data)}")
        known, hints = _fields(cls), _hints(cls)
        unknown = sorted(str(key) for key in data if key not in known)
        if unknown:
            raise ApiError(f"cannot read the request: unknown field {unknown[0][:80]!r}", hint=f"known: {_list(known)}")
        values = {name: _read(hints[name], data[name], name) for name in known if name in data}
        for name, spec in known.items():
            if name not in values and spec.default is MISSING and spec.default_factory is MISSING:
                raise ApiError(f"cannot read the request: field {name!r} is missing")
        return cls(**values)

    def to_data(self) -> dict[str, Any]:
        return {name: _write(getattr(self, name)) for name in _fields(type(self))}


def _fields(cls: type[Any]) -> dict[str, Field[Any]]:
    return {spec.name: spec for spec in fields(cls)}


def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls)


def _list(names: Mapping[str, object]) -> str:
    return ", ".join(names) or "none"


def _word(value: object) -> str:
    words = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "nothing"}
    return words.get(type(value), "a number")


def _wrong(name: str, expected: str, value: object) -> ApiError:
    return ApiError(f"cannot read the request: field {name!r} must be {expected}, not {_word(value)}")


def _read(hint: Any, value: object, name: str) -> Any:
    if get_origin(hint) in (Union, UnionType):
        inner = next(arg for arg in get_args(hint) if arg is not type(None))
        return None if value is None or (value == "" and inner is datetime) else _read(inner, value, name)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise _wrong(name, "a list", value)
        return tuple(_read(get_args(hint)[0], item, name) for item in value)
    if get_origin(hint) is Mapping:
        if not isinstance(value, Mapping) or len(value) > PAIRS_LIMIT:
            raise _wrong(name, f"an object of at most {PAIRS_LIMIT} pairs", value)
        inner = get_args(hint)[1]
        return {_scalar(str, key, name): _read(inner, item, f"{name}.{key}"[:80]) for key, item in value.items()}
    if hint is datetime:
        return _instant(value, name)
    if is_dataclass(hint) and isinstance(hint, type) and issubclass(hint, Shape):
        return hint.from_data(value)
    return _scalar(hint, value, name)


def _scalar(hint: Any, value: object, name: str) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    if hint is LongText and isinstance(value, str):
        return value
    if type(value) is not hint:  # a bool is no int here
        raise _wrong(name, {str: "text", bool: "a truth value", int: "an integer"}.get(hint, "a number"), value)
    if isinstance(value, str) and len(value) > TEXT_LIMIT:
        raise ApiError(f"cannot read the request: field {name!r} is longer than {TEXT_LIMIT} characters")
    if isinstance(value, str) and not _storable(value):
        raise ApiError(f"cannot read the request: field {name!r} is not UTF-8")
    if isinstance(value, int) and abs(value) > INT_LIMIT:
        raise ApiError(f"cannot read the request: field {name!r} is too large a number")
    return value


def _instant(value: object, name: str) -> datetime:
    if not isinstance(value, str):
        raise _wrong(name, "an instant in ISO 8601", value)
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ApiError(
            f"cannot read the request: field {name!r} must be an instant in ISO 8601 with its zone",
            hint="for example 2026-11-26T12:00:00Z",
        )
    if not plausible(found):
        raise ApiError(f"cannot read the request: field {name!r} {OUTSIDE}")
    return found.astimezone(UTC)


def _storable(text: str) -> bool:
    """JSON can say half of a surrogate pair, and so do bytes of a command line that are no UTF-8: neither the ledger
    nor an engine takes it."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _write(value: Any) -> Any:
    if isinstance(value, Shape):
        return value.to_data()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {key: _write(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_write(item) for item in value]
    return value

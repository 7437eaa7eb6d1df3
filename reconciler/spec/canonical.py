"""A JobSpec <-> plain data, and its digest: the identity of what a job file means, however it was written."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

from ..model.job import JobSpec, Schedule, ScheduleKind

Data = dict[str, Any]
_FIELDS = tuple(field.name for field in fields(JobSpec))
# Not part of what a job is: `moved_from` says how it came to be, `accept` what its readers know.
_DIGESTED = tuple(sorted(name for name in _FIELDS if name not in ("moved_from", "accept")))
_values = attrgetter(*_DIGESTED)
_DEFAULTS: tuple[object, ...] = _values(JobSpec(name="", owner="", schedule=Schedule(ScheduleKind.MANUAL), image=""))


_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


def to_data(spec: JobSpec) -> Data:
    """Plain JSON-able data of every field, defaults written out: a later default never changes a stored spec."""
    return {name: _plain(getattr(spec, name)) for name in _FIELDS}


def from_data(data: Mapping[str, Any]) -> JobSpec:
    """The inverse of `to_data`. Fields that are missing get their defaults, unknown ones are ignored, so that another
    version's record can be read. Raises KeyError, TypeError or ValueError on what is no such record."""
    spec = _reader(JobSpec)(data)
    assert isinstance(spec, JobSpec)
    return spec


def digest_of(spec: JobSpec) -> str:
    """sha256, in hex, of the canonical JSON of what is not a default: a field added later changes no old digest.

    The order of volumes and files means nothing, nor does the path that a file's text came from.
    """
    data: Data = {}
    for name, default, value in zip(_DIGESTED, _DEFAULTS, _values(spec), strict=True):
        if value is not default and value != default:
            form = _DIGEST_FORMS.get(name)
            data[name] = value if form is None else form(value)
    text = _encode(data)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# Keys are put in by name, in order: sorting them again would cost as much as encoding.
_encode = json.JSONEncoder(check_circular=False, separators=(",", ":"), ensure_ascii=False).encode


def _plain(value: Any) -> Any:
    kind: Any = type(value)
    if kind in _AS_THEY_ARE:  # nearly all
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    names = _names(kind)
    if names is not None:
        return {name: _plain(getattr(value, name)) for name in names}
    return value.value if isinstance(value, StrEnum) else value


def _sparse(value: Any) -> Data:
    """A dataclass without the fields that have their default. Tuples and enums go into JSON as they are."""
    kind: Any = type(value)
    names, defaults, values = _shape(kind)
    found = zip(names, defaults, values(value), strict=True)
    return {name: item for name, default, item in found if item is not default and item != default}


def _schedule(schedule: Schedule) -> Data:
    """Which file a calendar is means nothing: what it says is in `exclude` (rule T4)."""
    data = _sparse(schedule)
    data.pop("calendars", None)
    if schedule.parts:
        data["parts"] = [_schedule(part) for part in schedule.parts]
    return data


_sparse_shared = lru_cache(maxsize=1024)(_sparse)  # of what a fleet has few of

_DIGEST_FORMS: dict[str, Callable[[Any], Any]] = {
    "schedule": _schedule,
    "resources": _sparse_shared,
    "retries": _sparse_shared,
    "history": _sparse_shared,
    "queue": _sparse_shared,
    "after": lambda links: sorted((link.job, link.on) for link in links),
    "wait_for": lambda links: sorted((link.job, link.within) for link in links),
    "mounts": lambda mounts: sorted((_sparse(mount) for mount in mounts), key=lambda mount: str(mount["target"])),
    "files": lambda files: sorted((file.target, file.content, file.mode) for file in files),
    "secrets": lambda refs: sorted((ref.name, ref.target, ref.env, ref.mode, ref.sealed) for ref in refs),
    "repositories": lambda found: sorted((_sparse(item) for item in found), key=lambda item: str(item["target"])),
    "strategy": _sparse,
    "packages": _sparse,
    "parameters": lambda parameters: [_sparse(parameter) for parameter in parameters],
}


@lru_cache(maxsize=64)
def _names(kind: Any) -> tuple[str, ...] | None:
    return tuple(field.name for field in fields(kind)) if hasattr(kind, "__dataclass_fields__") else None


@lru_cache(maxsize=64)
def _shape(kind: Any) -> tuple[tuple[str, ...], tuple[object, ...], Callable[[Any], tuple[object, ...]]]:
    """Names, defaults, and how to get all values at once; in the order of the names."""
    ordered = sorted(fields(kind), key=lambda field: field.name)
    names = tuple(field.name for field in ordered)
    return names, tuple(field.default for field in ordered), attrgetter(*names)


# -- reading back: one reader per annotation ------------------------------------------------------------------


@lru_cache(maxsize=64)
def _reader(kind: Any) -> Callable[[Any], Any]:
    """How plain data becomes a value of this type again."""
    if hasattr(kind, "__dataclass_fields__"):
        return lambda data: kind(**{name: read(data[name]) for name, read in _field_readers(kind) if name in data})
    options = get_args(kind)
    if get_origin(kind) is tuple:
        return _tuple_reader(options)
    if type(None) in options:
        (inner,) = (_reader(option) for option in options if option is not type(None))
        return lambda value: None if value is None else inner(value)
    return _scalar_reader(kind)


@lru_cache(maxsize=64)
def _field_readers(kind: Any) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Found when first needed: a schedule is made of schedules."""
    hints = get_type_hints(kind)
    return tuple((field.name, _reader(hints[field.name])) for field in fields(kind))


def _tuple_reader(options: tuple[Any, ...]) -> Callable[[Any], Any]:
    if options[-1] is Ellipsis:
        item = _reader(options[0])
        return lambda values: tuple(item(value) for value in values)
    parts = tuple(_reader(option) for option in options)
    return lambda values: tuple(read(value) for read, value in zip(parts, values, strict=True))


def _scalar_reader(kind: Any) -> Callable[[Any], Any]:
    if issubclass(kind, StrEnum) or kind is float:
        return lambda value: kind(value)

    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{kind.__name__} expected, {type(value).__name__} found")
        return value

    return check

"""In: a definition and where it was written. Out: one of its values in the words of a job file, and who said it."""

from dataclasses import dataclass

from ..model.job import JobSpec, Location
from ..model.origin import Origin
from ..plan import words
from ..plan.changes import FIELDS
from .facts import ServiceDefaults

DEFAULT = "the default"
_FIELDS = {field.name: field for field in FIELDS}
_UNSET = {"start_deadline": "until the next slot, at most 12h"}
_BUILT_IN_TIMEOUT = ServiceDefaults().timeout


@dataclass(frozen=True, slots=True)
class Setting:
    """`source`: `web/x.yaml:7`, `_defaults.yaml:2`, `the default`, or "" if nobody wrote it down. `where` is set for
    the first two."""

    name: str
    value: str
    source: str = ""
    where: Location | None = None

    @property
    def default(self) -> bool:
        return self.source != "" and self.where is None


def setting(name: str, spec: JobSpec, origin: Origin | None, service: ServiceDefaults) -> Setting:
    """The value of a field of the job file, `retries.limit` for a key of a mapping."""
    field = _FIELDS[name]
    found = field.get(spec)
    value = _UNSET[name] if found is None and name in _UNSET else field.say(found)
    if origin is None:
        return Setting(name, value)
    head = name.partition(".")[0]
    where = origin.places.get(name) or origin.places.get(head) or _inside_schedule(name, spec, origin, service)
    if where is not None:
        return Setting(name, value, place(where), where)
    return Setting(name, value, _unsaid(name, spec, service))


def _unsaid(name: str, spec: JobSpec, service: ServiceDefaults) -> str:
    if name == "timezone" and spec.schedule.timezone == service.timezone:
        return "the service's timezone"
    if name == "timeout" and spec.timeout == service.timeout != _BUILT_IN_TIMEOUT:
        return "the service file's limits.default_timeout"
    return DEFAULT


def _inside_schedule(name: str, spec: JobSpec, origin: Origin, service: ServiceDefaults) -> Location | None:
    """`timezone` and `dst` may stand in the mapping of `schedule`."""
    said = name == "timezone" and spec.schedule.timezone != service.timezone
    said = said or (name == "dst.gap" and spec.schedule.gap != "after")
    said = said or (name == "dst.overlap" and spec.schedule.overlap != "once")
    return origin.places.get("schedule") if said else None


def place(where: Location) -> str:
    return f"{where.path}:{where.line}"


def edit(name: str, value: str, spec: JobSpec, origin: Origin | None, path: str, service: ServiceDefaults) -> str:
    """`set `timeout: 1h` at web/x.yaml:9`, or where to add it if the job's own file does not say it."""
    found = setting(name, spec, origin, service)
    own = found.where is not None and not found.where.inherited
    head, _, key = name.partition(".")
    said = f"{head}: {{{key}: {value}}}" if key else f"{name}: {value}"
    at = f"at {found.source}" if own else f"in {words.printable(path)}"
    return f"set `{said}` {at}"

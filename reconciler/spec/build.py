"""In: the merged fields of one job. Out: its JobSpec, and what is wrong beyond its shape."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from ..model.job import (
    CatchUp,
    Concurrency,
    FileMount,
    HistoryLimits,
    JobSpec,
    OnRetire,
    Parameter,
    PullPolicy,
    Queue,
    Resources,
    Retries,
    Schedule,
    ScheduleKind,
)
from ..model.problem import SpecProblem
from .admission import admit
from .durations import format_duration
from .fields import member
from .images import parse_image
from .layers import Merged
from .parameters import check_defaults, check_variables, read_parameters
from .schedules import Calendars, Pass, read_schedule
from .strategy import read_strategy

_BY_HAND = Schedule(ScheduleKind.MANUAL)  # stands for one that cannot be read, while the rest is looked at


class _Build:
    """One job being built; problems are collected, and values that are wrong are passed over."""

    def __init__(self, merged: Merged, shared: Pass) -> None:
        self.merged = merged
        self.values = merged.values
        self.shared = shared
        self.problems: list[SpecProblem] = []

    def report(
        self, tokens: tuple[str, ...], code: str, message: str, hint: str = "", *, warning: bool = False
    ) -> None:
        self.problems.append(self.merged.problem(tokens, code, message, hint, warning=warning))


def build_spec(
    name: str, owner: str, merged: Merged, texts: Mapping[str, tuple[str, str]], calendars: Calendars, shared: Pass
) -> tuple[JobSpec | None, list[SpecProblem]]:
    """The spec, or None if a problem is an error. `texts` has, by target, path and text of each `files: from`;
    `calendars` what each file that the schedule excludes says."""
    build = _Build(merged, shared)
    values = merged.values
    _check_identity(build, name, owner)
    schedule = read_schedule(name, merged, calendars, shared, build.report)
    image = _image(build)
    limits = shared.config.limits
    spec = JobSpec(
        name=name,
        owner=owner,
        schedule=schedule or _BY_HAND,
        image=image or "",
        description=values.get("description", ""),
        labels=_pairs(values.get("labels")),
        suspend=values.get("suspend", False),
        command=values.get("command"),
        entrypoint=values.get("entrypoint"),
        script=values.get("script"),
        working_dir=values.get("working_dir"),
        user=values.get("user"),
        environment=_pairs(values.get("environment")),
        resources=_resources(build),
        mounts=values.get("volumes", ()),
        networks=values.get("networks", ("default",)),
        timeout=values.get("timeout", limits.default_timeout),
        stop_grace_period=values.get("stop_grace_period", 30.0),
        concurrency_policy=values.get("concurrency_policy", Concurrency.FORBID),
        retries=_retries(build),
        start_deadline=values.get("start_deadline"),
        catch_up=_enum(values, "catch_up", CatchUp, CatchUp.LATEST),
        on_retire=_enum(values, "on_retire", OnRetire, OnRetire.DRAIN),
        protect=values.get("protect", False),
        history=HistoryLimits(**values["history"]) if "history" in values else HistoryLimits(),
        pull_policy=_enum(values, "pull_policy", PullPolicy, PullPolicy.MISSING),
        read_only=values.get("read_only", False),
        cap_add=values.get("cap_add", ()),
        files=_files(build, texts),
        parameters=(parameters := _parameters(build, schedule)),
        strategy=read_strategy(values.get("strategy", {}), parameters, build.report),
        moved_from=values.get("moved_from"),
        queue=Queue(**values["queue"]) if "queue" in values else Queue(),
        concurrency_group=values.get("concurrency_group", ""),
        priority=values.get("priority", 0),
        catch_up_limit=values.get("catch_up_limit", 20),
        pause_after_failures=values.get("pause_after_failures", 0),
        outputs=values.get("outputs", ""),
        hold_on_failure=values.get("hold_on_failure", 0.0),
        after=values.get("after", ()),
        wait_for=values.get("wait_for", ()),
    )
    _check_queue(build, spec)
    _check_targets(build, spec)
    for violation in admit(spec, shared.config):
        tokens = tuple(violation.pointer.split("/")[1:])
        if tokens[:1] == ("image",) and image is None:
            continue  # told already
        build.report(tokens, violation.code, violation.message, violation.hint)
    failed = any(problem.is_error for problem in build.problems)
    return (None if failed else spec), build.problems


def _pairs(values: dict[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items())) if values else ()


def _enum(values: dict[str, Any], name: str, kind: type[StrEnum], default: Any) -> Any:
    return member(kind, values[name]) if name in values else default


def _check_identity(build: _Build, name: str, owner: str) -> None:
    values, last = build.values, name.rpartition("/")[2]
    if values.get("name", last) != last:
        hint = f'Remove the line, write "{last}", or rename the file; `moved_from` keeps the history of a renamed job.'
        build.report(("name",), "name-disagrees", f'the name "{values["name"]}" is not that of the file', hint)
    if values.get("owner", owner) != owner:
        message = f'{name} belongs to {owner}, not to "{values["owner"]}": the service file decides by path'
        build.report(("owner",), "owner-disagrees", message, "Remove the line, or move the file.")
    if values.get("moved_from") == name:
        build.report(("moved_from",), "moved-from-itself", "this is the job's own name")


def _image(build: _Build) -> str | None:
    image: str | None = build.values.get("image")
    if image is None:
        hint = "Write `image: busybox:1.36`, or put it into a _defaults.yaml."
        build.report((), "image-missing", "image is missing, here and in every _defaults.yaml above", hint)
        return None
    try:
        parse_image(image)
    except ValueError as error:
        build.report(("image",), "image-invalid", f"image {error}", "Write it like registry.example.org/team/name:tag.")
        return None
    return image


def _resources(build: _Build) -> Resources:
    said = build.values.get("resources")
    if said is None:
        return Resources()
    limits = {key: value for key, value in said.items() if key != "size"}
    if "size" not in said:
        return Resources(**limits)
    sizes = build.shared.config.sizes
    size = sizes.get(said["size"])
    if size is None:
        from difflib import get_close_matches

        near = get_close_matches(said["size"], sizes, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"known sizes: {', '.join(sorted(sizes)) or 'none'}"
        build.report(("resources", "size"), "size-unknown", f'the service file has no size "{said["size"]}"', hint)
        return Resources(**limits)
    return replace(size, **limits)


def _retries(build: _Build) -> Retries:
    said = build.values.get("retries")
    if not said:
        return Retries()
    retries = Retries(**said)
    if retries.max_delay < retries.delay:
        if "max_delay" not in said:
            return replace(retries, max_delay=retries.delay)
        message = f"retries: max_delay is less than the delay of {format_duration(retries.delay)}"
        build.report(("retries", "max_delay"), "value-out-of-range", message)
    return retries


def _parameters(build: _Build, schedule: Schedule | None) -> tuple[Parameter, ...]:
    said = build.values.get("parameters", {})
    axes = build.values.get("strategy", {}).get("matrix", {})
    if not said and not axes:
        return ()
    places = {name: ("parameters", name) for name in sorted(said)}
    places |= {name: ("strategy", "matrix", name) for name in axes if name not in places}
    check_variables(places, build.values.get("environment", {}), build.report)
    found = read_parameters(said, build.report)
    if (schedule is not None and schedule.kind is not ScheduleKind.MANUAL) or build.values.get("after"):
        check_defaults(tuple(parameter for parameter in found if parameter.name not in axes), build.report)
    return found


def _files(build: _Build, texts: Mapping[str, tuple[str, str]]) -> tuple[FileMount, ...]:
    """A `from` that could not be read is not in `texts`; its problem is known already."""
    found = []
    for target, file in build.values.get("files", {}).items():
        if not file["mode"] & 0o400:
            message = f"mode {file['mode']:04o} keeps the job's own user from reading the file"
            build.report(("files", target, "mode"), "file-mode", message, "Write 0444, or 0555 for a program.")
        origin, content = texts.get(target, ("", "")) if "from" in file else ("", file.get("content", ""))
        found.append(FileMount(target, content, file["mode"], origin))
    return tuple(found)


def _check_queue(build: _Build, spec: JobSpec) -> None:
    """Settings that would have no effect, or would lose what they promise."""
    values, policy = build.values, spec.concurrency_policy
    if "queue" in values and policy is not Concurrency.QUEUE and not spec.concurrency_group:
        hint = "Write `concurrency_policy: Queue`, or remove the line."
        build.report(("queue",), "queue-unused", f"nothing waits under `concurrency_policy: {policy}`", hint)
    if spec.catch_up is CatchUp.ALL and policy not in (Concurrency.QUEUE, Concurrency.ALLOW):
        message = f"`catch_up: all` cannot run every slot under `concurrency_policy: {policy}`"
        hint = "Write `concurrency_policy: Queue` (one after the other) or `Allow` (side by side)."
        build.report(("catch_up",), "catch-up-conflict", message, hint)
    if "catch_up_limit" in values and spec.catch_up is not CatchUp.ALL:
        build.report(("catch_up_limit",), "catch-up-limit-unused", "only `catch_up: all` has a limit")


def _check_targets(build: _Build, spec: JobSpec) -> None:
    """Two mounts cannot have one target."""
    if spec.script is not None and spec.script.startswith("#!") and "sh" not in spec.script.split("\n", 1)[0]:
        hint = "Call the interpreter in the script, or use `command` and `files`."
        build.report(
            ("script",), "shebang", "a script is always run by sh; this first line is a comment", hint, warning=True
        )
    if len(spec.mounts) + len(spec.files) + bool(spec.outputs) < 2:
        return
    taken: set[str] = set()
    places: list[tuple[str, tuple[str, ...]]] = [
        (mount.target, ("volumes", str(index))) for index, mount in enumerate(spec.mounts)
    ]
    places += [(file.target, ("files", file.target)) for file in spec.files]
    places += [(spec.outputs, ("outputs",))] if spec.outputs else []
    for target, tokens in places:
        if target in taken:
            build.report(tokens, "target-twice", f"something else is mounted at {target} already")
        taken.add(target)

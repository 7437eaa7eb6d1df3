"""In: the merged fields of one job. Out: its JobSpec, and what is wrong beyond its shape."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..model.job import (
    CatchUp,
    Concurrency,
    FileMount,
    HistoryLimits,
    Install,
    JobSpec,
    OnRetire,
    Packages,
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
from .argv import command_argv, phases
from .durations import format_duration
from .exec_in import check_elsewhere
from .fields import member
from .images import parse_image
from .layers import Merged
from .lint import PLAINTEXT
from .parameters import check_defaults, check_variables, read_parameters
from .schedules import Calendars, Pass, read_schedule
from .secretlike import looks_secret
from .secrets import Sealed, check_clashes, resolved
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
    name: str, owner: str, merged: Merged, texts: Mapping[str, tuple[str, str]], calendars: Calendars,
    sealed: Sealed, shared: Pass,
) -> tuple[JobSpec | None, list[SpecProblem]]:  # fmt: skip
    """The spec, or None if a problem is an error. `texts` has, by target, path and text of each `files: from`;
    `calendars` what each file that the schedule excludes says; `sealed` the encrypted files of its secrets."""
    build = _Build(merged, shared)
    values = merged.values
    _check_identity(build, name, owner)
    schedule = read_schedule(name, merged, calendars, shared, build.report)
    image = None if "exec_in" in values else _image(build)
    given = {_AS_GIVEN[field]: value for field, value in values.items() if field in _AS_GIVEN}
    given.update((field, read(build)) for field, read in _BUILT.items() if field in values)
    given.setdefault("timeout", shared.config.limits.default_timeout)
    if "files" in values:
        given["files"] = _files(build, texts)
    if "secrets" in values:
        given["secrets"] = resolved(values["secrets"], owner, shared.config.secret_stores, sealed, build.report)
    if "parameters" in values or "strategy" in values:  # an axis is a parameter, too
        given["parameters"] = _parameters(build, schedule)
    if "strategy" in values:
        given["strategy"] = read_strategy(values["strategy"], given.get("parameters", ()), build.report)
    spec = JobSpec(name=name, owner=owner, schedule=schedule or _BY_HAND, image=image or "", **given)
    _check_queue(build, spec)
    _check_plain_text(build, spec)
    _check_targets(build, spec)
    if phases(spec) and command_argv(spec) is None:
        field = "start_script" if spec.start_script is not None else "packages"
        message = f"the image's own command is not known here, and it comes after `{field}`"
        build.report((field,), "command-missing", message, "Give the job a `command` or a `script`.")
    if spec.secrets:
        check_clashes(spec, build.report)
    if spec.exec_in:
        check_elsewhere(spec, build.report)
    for violation in admit(spec, shared.config):
        tokens = tuple(violation.pointer.split("/")[1:])
        if tokens[:1] == ("image",) and image is None:
            continue  # told already
        build.report(tokens, violation.code, violation.message, violation.hint)
    failed = any(problem.is_error for problem in build.problems)
    return (None if failed else spec), build.problems


def _pairs(build: _Build, field: str) -> tuple[tuple[str, str], ...]:
    """Sorted. A pair that many files of one pass say is held in memory once."""
    share = build.shared.pairs.setdefault
    return tuple([share(pair, pair) for pair in sorted(build.values[field].items())])


# What a file leaves out costs nothing: the spec then has its default, the very object that the digest passes over.
_AS_GIVEN = {field: field for field in (
    "description", "suspend", "command", "entrypoint", "script", "start_script", "working_dir", "user", "networks",
    "timeout",
    "stop_grace_period", "concurrency_policy", "start_deadline", "protect", "read_only", "cap_add", "moved_from",
    "concurrency_group", "priority", "catch_up_limit", "pause_after_failures", "outputs", "hold_on_failure", "after",
    "wait_for", "accept", "repositories", "exec_in",
)} | {"volumes": "mounts"}  # fmt: skip
_BUILT: dict[str, Callable[[_Build], Any]] = {
    "labels": lambda build: _pairs(build, "labels"),
    "environment": lambda build: _pairs(build, "environment"),
    "resources": lambda build: _resources(build),
    "retries": lambda build: _retries(build),
    "catch_up": lambda build: member(CatchUp, build.values["catch_up"]),
    "on_retire": lambda build: member(OnRetire, build.values["on_retire"]),
    "pull_policy": lambda build: member(PullPolicy, build.values["pull_policy"]),
    "history": lambda build: HistoryLimits(**build.values["history"]),
    "packages": lambda build: _packages(build),
    "queue": lambda build: Queue(**build.values["queue"]),
}


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


def _packages(build: _Build) -> Packages:
    said = dict(build.values["packages"])
    install = member(Install, said.pop("install", Install.IMAGE))
    files = tuple((name, names["file"]) for name, names in sorted(said.items()) if isinstance(names, dict))
    lists = {name: tuple(dict.fromkeys(names)) for name, names in said.items() if not isinstance(names, dict)}
    found = Packages(install=install, files=files, **lists)
    if files and "repositories" not in build.values:
        message = f"packages.{files[0][0]}: there is no code that has the file {files[0][1]}"
        build.report(("packages", files[0][0]), "packages-no-code", message, "Name the code in `repositories`.")
    if not found.managers:
        build.report(("packages",), "packages-none", "it names no package")
    return found


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


def _check_plain_text(build: _Build, spec: JobSpec) -> None:
    """git keeps for ever what is written here."""
    for name, value in spec.environment:
        why = looks_secret(name, value)
        if why and PLAINTEXT not in spec.accept:
            hint = "Put the value into a store and name it in `secrets`; if git has it, replace it."
            message = f"environment: {name} looks like a secret in plain text: {why}"
            build.report(("environment", name), "plaintext-secret", message, hint, warning=True)


def _check_targets(build: _Build, spec: JobSpec) -> None:
    """Two mounts cannot have one target."""
    if spec.script is not None and spec.script.startswith("#!") and "sh" not in spec.script.split("\n", 1)[0]:
        hint = "Call the interpreter in the script, or use `command` and `files`."
        build.report(
            ("script",), "shebang", "a script is always run by sh; this first line is a comment", hint, warning=True
        )
    taken_places = len(spec.mounts) + len(spec.files) + len(spec.secrets) + len(spec.repositories)
    if taken_places + bool(spec.outputs) < 2:
        return
    taken: set[str] = set()
    places: list[tuple[str, tuple[str, ...]]] = [
        (mount.target, ("volumes", str(index))) for index, mount in enumerate(spec.mounts)
    ]
    places += [(file.target, ("files", file.target)) for file in spec.files]
    places += [(spec.outputs, ("outputs",))] if spec.outputs else []
    places += [(ref.target, ("secrets", str(index))) for index, ref in enumerate(spec.secrets) if ref.target]
    places += [(item.target, ("repositories", str(index), "target")) for index, item in enumerate(spec.repositories)]
    for target, tokens in places:
        if target in taken:
            build.report(tokens, "target-twice", f"something else is mounted at {target} already")
        taken.add(target)

"""In: a spec. Out: what this host cannot give it: refusals before anything is changed, and warnings for the plan."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ..model.errors import EngineRejected
from ..model.job import JobSpec, Resources
from ..model.problem import FieldProblem
from ..spec.argv import final_argv
from .process_spawn import MAX_ARGUMENT

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_DEFAULT = Resources()


def warnings(spec: JobSpec) -> Iterator[str]:
    """One sentence for each field that the job sets and `process` cannot honour."""
    if spec.exec_in:
        return  # refused
    yield "image: not used; the command runs on this host with this host's programs"
    if spec.script is None and not spec.command and not spec.entrypoint:
        yield "command: the image's own is unknown here; give `command` or `script`"
    if spec.packages.in_image:
        yield f"packages: not installed ({', '.join(spec.packages.managers)}); this host has what it has"
    if spec.mounts:
        yield f"volumes: not mounted ({', '.join(mount.target for mount in spec.mounts)})"
    if spec.networks != ("default",):
        yield f"networks: not honoured ({', '.join(spec.networks)}); the job uses this host's network"
    if spec.user is not None:
        yield "user: not honoured; the service's `process_user` is used"
    if spec.cap_add:
        yield "cap_add: not honoured; the job has no capabilities"
    if spec.read_only:
        yield "read_only: not honoured; the job sees this host's files"
    bounds = [f"resources.{name}" for name in ("cpus", "memory", "pids_limit", "shm_size")
              if getattr(spec.resources, name) != getattr(_DEFAULT, name)]  # fmt: skip
    if bounds:
        yield f"{', '.join(bounds)}: not enforced"
    if spec.outputs:
        yield f"outputs: the folder is $RECONCILER_OUTPUTS, not {spec.outputs}"
    if spec.resources.gpus:
        yield "resources.gpus: leased and named in CUDA_VISIBLE_DEVICES; nothing keeps the job from the others"
    for file in spec.files:
        yield f"files: {file.target} is found at $RECONCILER_FILES{_rooted(file.target)}, not at its own path"
    for ref in spec.secrets:
        if ref.target:
            yield f"secrets: {ref.target} is found at $RECONCILER_FILES{ref.target}, not at its own path"
    for item in spec.repositories:
        yield f"repositories: {item.target} is found at $RECONCILER_FILES{item.target}, not at its own path"
    odd = [name for name, _ in spec.environment if not IDENTIFIER.match(name)]
    if odd:
        yield f"environment: the shell drops names that are no identifiers ({', '.join(odd)})"


def problems(spec: JobSpec) -> Iterator[FieldProblem]:
    """What this engine refuses, whatever the host has."""
    if spec.exec_in:
        message = f"there is no container {spec.exec_in} here: `exec_in` is for the docker engine"
        hint = "Remove the line, or use the docker engine."
        yield FieldProblem("exec_in", code="exec-unsupported", message=message, hint=hint)


def _rooted(target: str) -> str:
    return target if target.startswith("/") else f"/{target}"


def check(spec: JobSpec, path: str) -> tuple[str, ...]:
    """The final argv, if this host can run it (rule P4). Raises EngineRejected. `path` is the job's PATH."""
    for problem in problems(spec):
        raise EngineRejected(f"cannot run {spec.name}: {problem.message}", code=problem.code, hint=problem.hint)
    argv = final_argv(spec)
    if not argv:
        raise EngineRejected(
            f"cannot run {spec.name}: the image's own command is unknown to the process engine",
            code="command-missing",
            hint="Give the job a `command` or `script`, or use the docker engine.",
        )
    if any(len(argument.encode()) > MAX_ARGUMENT for argument in argv):
        raise EngineRejected(
            f"cannot run {spec.name}: an argument is longer than {MAX_ARGUMENT} bytes",
            code="argument-too-long",
            hint="Move the script into `files:` and call it from there.",
        )
    _check_program(spec, argv, path)
    in_code = any(PurePosixPath(spec.working_dir or "").is_relative_to(item.target) for item in spec.repositories)
    if spec.working_dir is not None and not in_code and not Path(spec.working_dir).is_dir():
        raise EngineRejected(
            f"cannot run {spec.name}: this host has no folder {spec.working_dir}",
            code="working-dir-missing",
            hint="On the process engine `working_dir` is a folder of this host; without it the job gets its own.",
        )
    return argv


def _check_program(spec: JobSpec, argv: Sequence[str], path: str) -> None:
    program = argv[0]
    if "/" in program and not program.startswith("/"):
        return  # relative to the working folder, which the run may fill first
    if shutil.which(program, mode=os.F_OK | os.X_OK, path=path) is None:
        raise EngineRejected(
            f"cannot run {spec.name}: this host has no program {program!r}",
            code="command-missing",
            hint="Install it on this host, or use the docker engine, which takes it from the image.",
        )

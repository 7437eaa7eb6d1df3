"""What a run executes: the final argument list, and how a container is told so."""

import re

from ..model.job import Install, JobSpec
from . import packages

# On the script's own first line, so that the line numbers in the shell's messages are those of the job file's script.
# A shell without pipefail (dash before 0.5.13) refuses it in the subshell, and goes on without.
PIPEFAIL = "(set -o pipefail) 2>/dev/null && set -o pipefail; "
_SHELL = ("sh", "-eu", "-c")
START_SCRIPT = "start_script"
_FAILED = re.compile(rb"\[reconciler\] ([a-z_]+) failed with exit code [0-9]+\Z")
# $1 is how many phases there are, then name and script of each, then the command.
_PHASES = """n=$1; shift
while [ "$n" -gt 0 ]; do
  echo "[reconciler] $1"
  sh -eu -c "$2" || { code=$?; echo "[reconciler] $1 failed with exit code $code"; exit "$code"; }
  shift 2; n=$((n - 1))
done
echo "[reconciler] command"
exec "$@\""""


def script_argv(script: str) -> tuple[str, ...]:
    """`sh -eu` with pipefail where the shell has it; the script is one argument, never a file."""
    return (*_SHELL, PIPEFAIL + script)


def final_argv(spec: JobSpec) -> tuple[str, ...] | None:
    """Everything that the job file says of the argument list; None = the image decides.

    With a `command` alone the image's entrypoint, if it has one, still comes before it; with phases before it, not.
    """
    argv, before = command_argv(spec), phases(spec)
    return argv if argv is None or not before else _after(before, argv)


def phases(spec: JobSpec) -> tuple[tuple[str, str], ...]:
    """(name, script) of what runs before the command, in order, each in a shell of its own."""
    at_start = bool(spec.packages.managers) and spec.packages.install is Install.AT_START
    found = ((packages.PHASE, packages.install_script(spec.packages)),) if at_start else ()
    return found + (((START_SCRIPT, spec.start_script),) if spec.start_script is not None else ())


def failed_phase(tail: bytes) -> str:
    """The phase that has failed, by the last line of a run's log; "" = none."""
    found = _FAILED.search(tail.rstrip(b"\r\n").rpartition(b"\n")[2])
    return found[1].decode("ascii") if found else ""


def _after(before: tuple[tuple[str, str], ...], argv: tuple[str, ...]) -> tuple[str, ...]:
    pairs = [part for name, script in before for part in (name, PIPEFAIL + script)]
    return ("sh", "-c", _PHASES, "reconciler", str(len(before)), *pairs, *argv)


def command_argv(spec: JobSpec) -> tuple[str, ...] | None:
    """The same without what runs before the command."""
    if spec.script is not None:
        return script_argv(spec.script)
    if spec.entrypoint is None and spec.command is None:
        return None
    return (spec.entrypoint or ()) + (spec.command or ())


def container_command(spec: JobSpec) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """`(entrypoint, command)` of the create request; None = the image's own.

    An engine that is given an entrypoint drops the image's command too. An empty one is sent as `("",)`: that is how
    the Docker Engine is told to have none.
    """
    if phases(spec):
        return final_argv(spec), None
    if spec.script is not None:
        return script_argv(spec.script), None
    return (("",) if spec.entrypoint == () else spec.entrypoint), spec.command

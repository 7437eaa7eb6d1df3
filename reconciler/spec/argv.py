"""What a run executes: the final argument list, and how a container is told so."""

from ..model.job import JobSpec

# On the script's own first line, so that the line numbers in the shell's messages are those of the job file's script.
# A shell without pipefail (dash before 0.5.13) refuses it in the subshell, and goes on without.
_PIPEFAIL = "(set -o pipefail) 2>/dev/null && set -o pipefail; "
_SHELL = ("sh", "-eu", "-c")


def script_argv(script: str) -> tuple[str, ...]:
    """`sh -eu` with pipefail where the shell has it; the script is one argument, never a file."""
    return (*_SHELL, _PIPEFAIL + script)


def final_argv(spec: JobSpec) -> tuple[str, ...] | None:
    """Everything that the job file says of the argument list; None = the image decides.

    With a `command` alone the image's entrypoint, if it has one, still comes before it.
    """
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
    if spec.script is not None:
        return script_argv(spec.script), None
    return (("",) if spec.entrypoint == () else spec.entrypoint), spec.command

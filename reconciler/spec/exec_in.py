"""In: a job that runs in a container of somebody else (`exec_in`). Out: what it cannot have beside that.

Such a job has no container of its own, so what describes one means nothing for it. Written beside `exec_in`, or below
it, that is a problem at its line; a `_defaults.yaml` further up speaks of the folder's other jobs and is passed over.
"""

from collections.abc import Callable

from ..model.job import JobSpec
from ..model.problem import SpecProblem
from .argv import command_argv
from .layers import Layer, Merged

OF_A_CONTAINER = (
    "image", "pull_policy", "entrypoint", "packages", "repositories", "files", "volumes", "networks", "resources",
    "read_only", "cap_add", "outputs", "hold_on_failure",
)  # fmt: skip
Report = Callable[..., None]  # (tokens, code, message, hint)


def without_a_container(merged: Merged) -> tuple[Merged, list[SpecProblem]]:
    """The same without the fields of a container, and a problem for each that was meant for this job."""
    target = merged.values.get("exec_in")
    if target is None:
        return merged, []
    said, problems = _depth(merged.layer_of(("exec_in",))), []
    there = [name for name in OF_A_CONTAINER if name in merged.values]
    for name in there:
        if _depth(merged.layer_of((name,))) >= said:
            message = f"`{name}` describes a container of its own, and the job runs in {target} (exec_in)"
            problems.append(merged.problem((name,), "exec-in-conflict", message, "Remove one of the two lines."))
    values = {name: value for name, value in merged.values.items() if name not in there}
    return merged._replace(values=values), problems


def check_elsewhere(spec: JobSpec, report: Report) -> None:
    """Reports what only the whole spec tells: no command of its own, and secrets that would be files."""
    if command_argv(spec) is None:
        report(("exec_in",), "command-missing", f"what is to run in {spec.exec_in} is not said",
               "Give the job a `command` or a `script`.")  # fmt: skip
    for index, ref in enumerate(spec.secrets):
        if ref.target:
            message = f"the secret {ref.name} would be a file, and {spec.exec_in} (exec_in) is not ours to mount it in"
            hint = f"Write {{name: {ref.name}, env: NAME}}, where policy allows `secrets_in_env`."
            report(("secrets", str(index)), "exec-in-conflict", message, hint)


def _depth(layer: Layer) -> tuple[int, bool]:
    """All files of one job lie on one path: the deeper folder speaks later, in it the job's own file last."""
    return len(layer.folder), not layer.inherited

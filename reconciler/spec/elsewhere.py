"""In: a job, for an engine that does not see this host's files. Out: what such an engine cannot give it. Pure."""

from collections.abc import Iterator

from ..model.job import JobSpec
from ..model.problem import FieldProblem

CODE = "engine-remote"
HINT = "Run the job where the Engine is, or let it fetch the secret; `engine_paths: shared` if the Engine is here."


def refused(spec: JobSpec) -> Iterator[FieldProblem]:
    """Its secrets, as files and as variables: they would lie on a disk of the other host."""
    for ref in spec.secrets:
        message = f"the secret {ref.name} does not leave this host, and the Engine is on another one"
        yield FieldProblem(f"secrets.{ref.name}", CODE, message, HINT)


def warnings(spec: JobSpec) -> Iterator[str]:
    """One sentence for each field that means something else over there."""
    for mount in spec.mounts:
        if mount.type == "bind":
            yield f"volumes: {mount.source} is a path of the Engine's host, not of this one"

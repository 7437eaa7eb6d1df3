"""In: the spec of a job that stands. Out: the spec of a shell in its environment: the same container, which belongs to
a person for a while and to no slot of the job."""

from dataclasses import replace

from ..model.job import JobSpec
from .trial import DEV_PREFIX, trial_of

NOTES = "/run/reconciler-dev"  # where the shell's wrapper notes what is installed; see `spec.interactive`
LONGEST_GRACE = 10.0  # seconds between TERM and KILL: nobody is at it any more


def dev_of(spec: JobSpec, seconds: float, *, secrets: bool) -> JobSpec:
    """It ends after `seconds`. Without `secrets` it has none of the job's. It takes no place in the job's group: a
    shell that stands open must not keep the job's own runs waiting."""
    return replace(
        trial_of(spec), name=DEV_PREFIX + spec.name, timeout=seconds, concurrency_group="",
        outputs=spec.outputs or NOTES, stop_grace_period=min(spec.stop_grace_period, LONGEST_GRACE),
        secrets=spec.secrets if secrets else (),
    )  # fmt: skip

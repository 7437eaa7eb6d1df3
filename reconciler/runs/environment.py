"""In: a run and the slots before it. Out: what it finds in its environment: RECONCILER_* (rule R9), its parameters."""

from datetime import UTC, datetime

from ..model.job import JobSpec
from ..model.run import RunRecord
from .parameters import variable
from .trial import tried


def reconciler_environment(
    run: RunRecord, spec: JobSpec, previous_slot: datetime | None, previous_success: datetime | None
) -> tuple[tuple[str, str], ...]:
    """All eight, always; a slot that there was not yet is the empty string. Instants are ISO 8601 in UTC. A cell finds
    its number and how many there are, too."""
    cell = () if run.cell is None else (("RECONCILER_CELL", str(run.cell)), ("RECONCILER_CELLS", str(run.cells)))
    return (
        ("RECONCILER_JOB", tried(spec.name)),
        ("RECONCILER_RUN_ID", run.run_id),
        ("RECONCILER_SLOT", iso(run.slot)),
        ("RECONCILER_PREVIOUS_SLOT", iso(previous_slot)),
        ("RECONCILER_PREVIOUS_SUCCESS", iso(previous_success)),
        ("RECONCILER_ATTEMPT", str(run.attempt)),
        ("RECONCILER_TRIGGER", run.trigger.value),
        ("RECONCILER_REVISION", run.revision),
        *cell,
    )


def parameter_environment(run: RunRecord) -> tuple[tuple[str, str], ...]:
    """The run's parameters by their variables: `learning-rate` as LEARNING_RATE."""
    return tuple((variable(name), text) for name, text in run.parameters)


def iso(at: datetime | None) -> str:
    """`2026-11-24T02:00:00Z`; with milliseconds if there are any, as in a run by hand."""
    if at is None:
        return ""
    spec = "milliseconds" if at.microsecond else "seconds"
    return at.astimezone(UTC).isoformat(timespec=spec).replace("+00:00", "Z")

"""In: the spec of a job file that nobody has applied. Out: the spec of one trial of it: its container, and nothing that
would outlive the run or fire others."""

from dataclasses import replace

from ..model.job import CatchUp, Concurrency, JobSpec, OnRetire, Parameter, Retries, Schedule, ScheduleKind, Strategy

PREFIX = "Try/"  # no job of a repository is called so: names there are lower-case
DEV_PREFIX = "Dev/"  # of shells in a job's environment: see `runs.dev`
PREFIXES = (PREFIX, DEV_PREFIX)


def is_trial(job: str) -> bool:
    """Is it no job of a repository, and nothing of it is kept?"""
    return job.startswith(PREFIXES)


def tried(job: str) -> str:
    """The name in the file of what a trial tries: `Try/ml/train` -> `ml/train`; any other name as it is."""
    return job.removeprefix(PREFIX).removeprefix(DEV_PREFIX)


def trial_of(spec: JobSpec) -> JobSpec:
    """The same container under the same owner. Of a matrix the first cell is tried, unless its values are given."""
    return replace(
        spec, name=PREFIX + spec.name, schedule=Schedule(ScheduleKind.MANUAL, timezone=spec.schedule.timezone),
        suspend=False, concurrency_policy=Concurrency.ALLOW, retries=Retries(), catch_up=CatchUp.NONE, after=(),
        wait_for=(), start_deadline=None, pause_after_failures=0, on_retire=OnRetire.DRAIN, protect=False,
        moved_from=None, hold_on_failure=0.0, strategy=Strategy(), parameters=_parameters(spec),
    )  # fmt: skip


def _parameters(spec: JobSpec) -> tuple[Parameter, ...]:
    first = {name: values[0] for name, values in spec.strategy.matrix}
    declared = {parameter.name for parameter in spec.parameters}
    taken = [replace(p, default=first[p.name]) if p.name in first else p for p in spec.parameters]
    taken += [Parameter(name, default=value) for name, value in first.items() if name not in declared]
    return tuple(sorted(taken, key=lambda parameter: parameter.name))

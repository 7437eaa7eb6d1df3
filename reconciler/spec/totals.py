"""In: jobs and what their owner may have in all. Out: what cannot be had (rule S1). Places are for the run loop."""

from collections.abc import Iterator, Mapping

from ..model.desired import HeldJob
from ..model.job import DesiredJob, JobSpec
from ..model.live import StandingJob
from ..model.problem import SpecProblem
from ..model.service import ServiceConfig, Total
from .durations import format_size

COUNTED = ("cpus", "memory", "gpus")  # limits of a job that count against its owner's total


def beyond_total(spec: JobSpec, total: Total) -> Iterator[tuple[str, str, str, str]]:
    """(field, code, message, hint) of each limit that keeps a job from ever getting a place."""
    for name in COUNTED:
        most, asked = getattr(total, name), getattr(spec.resources, name)
        if most is None or (asked is None and name == "gpus"):
            continue  # no GPU is what a job has by itself
        say = format_size if name == "memory" else "{:g}".format
        if asked is None:
            message = f"{spec.owner} must limit {name}, for it may have {say(most)} in all its runs"
            yield name, "limit-missing", message, f"resources: {{{name}: ...}}"
        elif asked > most:
            message = f"{name} {say(asked)} is more than the {say(most)} that {spec.owner} may have in all its runs"
            yield name, "limit-exceeded", message, ""


def too_many(
    jobs: Mapping[str, DesiredJob], held: Mapping[str, HeldJob], standing: Mapping[str, StandingJob],
    config: ServiceConfig,
) -> tuple[list[HeldJob], list[SpecProblem]]:  # fmt: skip
    """(new jobs beyond `total.jobs` of their owner, warnings of owners who have more live ones than that).

    Live jobs count first, with a broken file too, then new ones by name: whoever has a place keeps it.
    """
    limits = {name: total.jobs for name, total in config.totals.items() if total.jobs is not None}
    blocked: list[HeldJob] = []
    warnings: list[SpecProblem] = []
    if not limits:
        return blocked, warnings
    live = dict.fromkeys(limits, 0)
    new: dict[str, list[DesiredJob]] = {owner: [] for owner in limits}
    for name, bad in held.items():
        if bad.owner in limits and name in standing:
            live[bad.owner] += 1
    for name in sorted(jobs):
        job = jobs[name]
        if job.spec.owner not in limits:
            continue
        if _has_a_place(job, jobs, held, standing):
            live[job.spec.owner] += 1
            if live[job.spec.owner] == limits[job.spec.owner] + 1:
                warnings.append(_over(job, limits[job.spec.owner]))
        else:
            new[job.spec.owner].append(job)
    for owner, most in limits.items():
        blocked += [_refused(job, most) for job in new[owner][max(0, most - live[owner]) :]]
    return blocked, warnings


def _has_a_place(
    job: DesiredJob, jobs: Mapping[str, DesiredJob], held: Mapping[str, HeldJob], standing: Mapping[str, StandingJob]
) -> bool:
    """It is live, or it is a live one of the same owner under a new name."""
    if job.name in standing:
        return True
    old = job.spec.moved_from or ""
    row = standing.get(old)
    return row is not None and row.owner == job.spec.owner and old not in jobs and old not in held


def _refused(job: DesiredJob, most: int) -> HeldJob:
    owner = job.spec.owner
    message = (
        f"{owner} may have {most} job{'' if most == 1 else 's'}, which live ones and new ones before it by name are"
    )
    hint = f"Delete a job of {owner}, or have owners.{owner}.total.jobs raised."
    problem = SpecProblem(job.path, 1, 1, "too-many-jobs", message, hint)
    return HeldJob(job.name, job.path, owner, (problem,), moved_from=job.spec.moved_from or "")


def _over(job: DesiredJob, most: int) -> SpecProblem:
    owner = job.spec.owner
    message = f"{owner} has more live jobs than the {most} that it may have: no new one is taken"
    return SpecProblem(
        job.path, 1, 1, "jobs-beyond-total", message, "Live ones stay and can be edited.", severity="warning"
    )

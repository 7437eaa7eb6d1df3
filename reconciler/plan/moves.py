"""In: what appears and what disappears. Out: which is a move, and which looks like one (rule D1)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..model.desired import DesiredState
from ..model.job import DesiredJob, JobSpec
from ..model.live import StandingJob


@dataclass(frozen=True, slots=True)
class Moves:
    """`old_of`: new name -> old name, carried out. `refused`: new name -> why its `moved_from` does nothing."""

    old_of: Mapping[str, str]
    refused: Mapping[str, str]


def find_moves(
    desired: DesiredState, created: Iterable[str], gone: frozenset[str], standing: Mapping[str, StandingJob]
) -> Moves:
    """Match `moved_from` of the created jobs with the jobs whose files are gone. One old job moves once."""
    old_of: dict[str, str] = {}
    refused: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in sorted(created):
        job = desired.jobs[name]
        old = job.spec.moved_from
        if old is None or old == name:
            continue
        why = _why_not(job, old, desired, gone, standing, taken)
        if why:
            refused[name] = why
        else:
            old_of[name], taken[old] = old, name
    return Moves(old_of, refused)


def _why_not(
    job: DesiredJob,
    old: str,
    desired: DesiredState,
    gone: frozenset[str],
    standing: Mapping[str, StandingJob],
    taken: Mapping[str, str],
) -> str:
    if old in desired.jobs or old in desired.held:
        return f"moved_from: {old} still has its file, so nothing is carried along"
    if old in taken:
        return f"moved_from: {old} is claimed by {taken[old]} too, which has it"
    row = standing.get(old)
    if row is None or old not in gone:
        return f"moved_from: {old} is not live, so nothing is carried along"
    if row.owner != job.spec.owner:
        return f"moved_from: {old} belongs to {row.owner}; history does not move between owners"
    return ""


def alike(created: Iterable[DesiredJob], retired: Iterable[StandingJob]) -> dict[str, str]:
    """Old name -> new name of pairs that run the same thing for the same owner: probably a forgotten `moved_from`."""
    by_work: dict[object, list[str]] = {}
    for row in sorted(retired, key=lambda row: row.name):
        by_work.setdefault(_work(row.spec), []).append(row.name)
    found: dict[str, str] = {}
    for job in sorted(created, key=lambda job: job.name):
        olds = by_work.get(_work(job.spec))
        if olds and job.spec.moved_from is None:
            same_last = [old for old in olds if _last(old) == _last(job.name)]
            old = (same_last or olds)[0]
            olds.remove(old)
            found[old] = job.name
    return found


def _work(spec: JobSpec) -> object:
    """What a job does, without its name, its clock and its limits."""
    return spec.owner, spec.image, spec.entrypoint, spec.command, spec.script, spec.start_script, spec.mounts


def _last(name: str) -> str:
    return name.rpartition("/")[2]

"""In: what appears and what disappears. Out: which is a move, and which looks like one (rule D1)."""

from collections.abc import Iterable, Mapping, Sequence, Set
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
    desired: DesiredState, created: Iterable[str], gone: frozenset[str], standing: Mapping[str, StandingJob],
    broken_owners: Set[str] = frozenset(),
) -> Moves:  # fmt: skip
    """Match `moved_from` of the created jobs with the jobs whose files are gone. One old job moves once."""
    claims: dict[str, list[DesiredJob]] = {}
    for name in sorted(created):
        job = desired.jobs[name]
        if job.spec.moved_from is not None and job.spec.moved_from != name:
            claims.setdefault(job.spec.moved_from, []).append(job)
    old_of: dict[str, str] = {}
    refused: dict[str, str] = {}
    for old, claimants in claims.items():
        why = _why_not(old, desired, gone, standing)
        heir, others = (None, why) if why else _heir(standing[old], claimants, broken_owners)
        for job in claimants:
            if job is heir:
                old_of[job.name] = old
            else:
                refused[job.name] = f"moved_from: {others}"
    return Moves(old_of, refused)


def _why_not(old: str, desired: DesiredState, gone: frozenset[str], standing: Mapping[str, StandingJob]) -> str:
    if old in desired.jobs or old in desired.held:
        return f"{old} still has its file, so nothing is carried along"
    if old not in standing or old not in gone:
        return f"{old} is not live, so nothing is carried along"
    return ""


def _heir(
    row: StandingJob, claimants: Sequence[DesiredJob], broken_owners: Set[str]
) -> tuple[DesiredJob | None, str]:  # fmt: skip
    """Who has the history of `row`, and why the others do not. Its own owner's jobs come first; a job of another owner
    has it only where the deletion of the old file would have its way, too: that is the old owner's consent."""
    own = [job for job in claimants if job.spec.owner == row.owner]
    if own:
        return own[0], f"{row.name} is claimed by {own[0].name} too, which has it"
    if len(claimants) > 1:
        return None, f"{row.name} of {row.owner} is claimed by {', '.join(j.name for j in claimants)}, so none has it"
    if row.retiring:
        return None, f"the retirement of {row.name} had begun before, so its history stays with {row.owner}"
    if row.spec.protect:
        return None, f"{row.name} of {row.owner} is protected: commit `protect: false` there first"
    if row.owner in broken_owners:
        return None, f"another file of {row.owner} cannot be used, and until it is fixed nothing leaves that owner"
    return claimants[0], ""


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
    return (
        spec.owner,
        spec.image,
        spec.exec_in,
        spec.entrypoint,
        spec.command,
        spec.script,
        spec.start_script,
        spec.mounts,
    )


def _last(name: str) -> str:
    return name.rpartition("/")[2]

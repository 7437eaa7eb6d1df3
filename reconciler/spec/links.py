"""In: the jobs of one revision. Out: those that cannot be, because of what they say of each other."""

from collections.abc import Iterator, Mapping

from ..model.desired import HeldJob
from ..model.job import DesiredJob
from ..model.problem import SpecProblem
from ..model.service import ServiceConfig
from .admission import owner_of

SHOWN = 8  # jobs of a cycle in one message


def conflicts(
    jobs: Mapping[str, DesiredJob], held: Mapping[str, HeldJob], config: ServiceConfig, *, partial: bool = False
) -> list[HeldJob]:
    """Each with the problem that blocks it. A job that is held is still there for the others. `partial`: these are not
    all jobs, so one that is not among them may be there."""
    linked = {name: job for name, job in jobs.items() if job.spec.after or job.spec.wait_for}
    return [*_move_conflicts(jobs, held, config), *(() if partial else _unknown(linked, jobs, held)), *_cycles(linked)]


def _blocked(job: DesiredJob, field: str, code: str, message: str, hint: str) -> HeldJob:
    place = job.lines.get(field)
    problem = SpecProblem(job.path, place.line if place is not None else 1, 1, code, message, hint, f"/{field}")
    return HeldJob(job.name, job.path, job.spec.owner, (problem,), moved_from=job.spec.moved_from or "")


def _move_conflicts(
    jobs: Mapping[str, DesiredJob], held: Mapping[str, HeldJob], config: ServiceConfig
) -> list[HeldJob]:
    """One history has one heir, and no heir while its job lives. Who has another owner than the old path is held for no
    other claim, so no team can stand in the way of another's move; the plan tells who of them has the history."""
    heirs: dict[str, list[DesiredJob]] = {}
    for job in jobs.values():
        if job.spec.moved_from is not None:
            heirs.setdefault(job.spec.moved_from, []).append(job)
    found = []
    for old, claimants in heirs.items():
        if len(claimants) == 1 and old not in jobs and old not in held:
            continue
        if old not in jobs and old not in held:
            heir = owner_of(config, old)
            claimants = [job for job in claimants if job.spec.owner == heir]
            if len(claimants) < 2:
                continue
        for job in claimants:
            others = ", ".join(other.name for other in claimants if other is not job)
            message = f'moved_from: "{old}" is ' + (f"claimed by {others} too" if others else "still there")
            hint = "Delete the old file in the same commit." if not others else "Only one of them can have its history."
            found.append(_blocked(job, "moved_from", "moved-from-taken", message, hint))
    return found


def _links(job: DesiredJob) -> Iterator[tuple[str, str]]:
    """(field, the job it names)."""
    for link in job.spec.after:
        yield "after", link.job
    for wait in job.spec.wait_for:
        yield "wait_for", wait.job


def _unknown(
    linked: Mapping[str, DesiredJob], jobs: Mapping[str, DesiredJob], held: Mapping[str, HeldJob]
) -> Iterator[HeldJob]:
    for job in linked.values():
        for field, name in _links(job):
            if name not in jobs and name not in held:
                from difflib import get_close_matches

                near = get_close_matches(name, jobs, 1)
                hint = f'did you mean "{near[0]}"?' if near else "A job is named by its path below the jobs directory."
                yield _blocked(job, field, "link-unknown", f'{field}: there is no job "{name}"', hint)


def _cycles(linked: Mapping[str, DesiredJob]) -> Iterator[HeldJob]:
    """Jobs that fire or wait for themselves, by whatever way. Each is walked once, without recursion."""
    state: dict[str, int] = {}  # 1 = on the way, 2 = done
    looped: dict[str, tuple[str, ...]] = {}
    for root in linked:
        if root in state:
            continue
        state[root] = 1
        way = [(root, _links(linked[root]))]
        while way:
            name, rest = way[-1]
            _, following = next(rest, ("", ""))
            if not following:
                state[name] = 2
                way.pop()
            elif following in linked and following not in state:
                state[following] = 1
                way.append((following, _links(linked[following])))
            elif state.get(following) == 1:
                names = [step for step, _ in way]
                circle = tuple(names[names.index(following) :])
                looped.update(dict.fromkeys(circle, circle))
    for name, circle in looped.items():
        job = linked[name]
        field = next(field for field, other in _links(job) if other in circle)
        start = circle.index(name)
        order = circle[start:] + circle[:start]
        more = " -> ..." if len(order) > SHOWN else ""
        message = f"{field} leads back to the job itself: {' -> '.join((*order[:SHOWN], name))}{more}"
        yield _blocked(job, field, "link-cycle", message, "Remove one of these links.")

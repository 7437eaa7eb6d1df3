"""In: a plan and the ledger's rows. Out: how many fires the next 24 hours hold, before and after it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..model.job import JobSpec, ScheduleKind
from ..model.live import StandingJob
from ..model.plan import Action, ActionKind, Plan
from ..schedule.cron import fires, latest_fires

SPAN = timedelta(hours=24)
MOST_JOBS = 500  # jobs computed at all, unless everything is asked for
MOST_INSTANTS = 20_000  # fires listed one by one to find how many coincide


@dataclass(frozen=True, slots=True)
class Timeline:
    """`before` and `after` count fires in the next 24 h: of every job if `whole`, else of the changed ones.

    `deltas`: (job, fires gained or lost), largest first. `at_once`: most fires of one instant after the plan, 0 = not
    computed. `capped`: some job or the plan was too large to count to the end, so the figures are lower bounds.
    """

    before: int
    after: int
    deltas: tuple[tuple[str, int], ...]
    whole: bool
    at_once: int = 0
    capped: bool = False


def timeline(
    plan: Plan, standing: Mapping[str, StandingJob], now: datetime, *, everything: bool | None = None
) -> Timeline:
    """Count fires. `everything` None = count unchanged jobs too if there are few (at most 500)."""
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    capped = False
    rows = _after(plan, standing, now)
    moved = {action.moved_from: action.name for action in plan.changes if action.moved_from and not plan.refused}
    whole = max(len(standing), len(rows)) <= MOST_JOBS if everything is None else everything
    changed = sorted(name for name in rows.keys() | standing.keys() if rows.get(name) is not standing.get(name))
    if not whole and len(changed) > MOST_JOBS:
        changed, capped = changed[:MOST_JOBS], True
    for name in sorted(rows.keys() | standing.keys()) if whole else changed:
        for row, counts in ((standing.get(name), before), (rows.get(name), after)):
            found, too_many = _count(row, now)
            counts[moved.get(name, name)] += found
            capped = capped or too_many
    deltas = [
        (name, after[name] - before[name]) for name in changed if name not in moved and after[name] != before[name]
    ]
    deltas.sort(key=lambda pair: (-abs(pair[1]), pair[0]))
    at_once = _at_once(rows, now) if whole and after.total() <= MOST_INSTANTS and not capped else 0
    return Timeline(before.total(), after.total(), tuple(deltas), whole, at_once, capped)


def _after(plan: Plan, standing: Mapping[str, StandingJob], now: datetime) -> dict[str, StandingJob]:
    """The rows as they will be; a row object that does not change stays the same object."""
    rows = dict(standing)
    for action in () if plan.refused else plan.changes:
        old = rows.pop(action.moved_from, None) if action.moved_from else rows.get(action.name)
        row = _row_after(action, old, plan.revision, now)
        if row is None:
            rows.pop(action.name, None)
        else:
            rows[action.name] = row
    return rows


def _row_after(action: Action, old: StandingJob | None, revision: str, now: datetime) -> StandingJob | None:
    if action.kind is ActionKind.RETIRE:
        return None
    if action.kind in (ActionKind.FORBID, ActionKind.PERMIT):
        return replace(old, forbidden=action.why if action.kind is ActionKind.FORBID else "") if old else None
    if action.job is None or action.kind is ActionKind.HEAL:
        return old
    anchor = old.anchor if old is not None and action.keep_cursor else now
    return StandingJob(action.name, action.job.spec, action.digest, revision, action.path, now, now, anchor)


def _fires(row: StandingJob | None) -> JobSpec | None:
    """The spec if it fires at all."""
    if row is None or row.forbidden or row.retiring or row.spec.suspend:
        return None
    return None if row.spec.schedule.kind is ScheduleKind.MANUAL else row.spec


def _count(row: StandingJob | None, now: datetime) -> tuple[int, bool]:
    spec = _fires(row)
    if row is None or spec is None:
        return 0, False
    window = latest_fires(spec.schedule, now, now + SPAN, row.anchor)
    return window.count, window.capped


def _at_once(rows: Mapping[str, StandingJob], now: datetime) -> int:
    def instants() -> Iterator[datetime]:
        for row in rows.values():
            spec = _fires(row)
            if spec is not None:
                yield from fires(spec.schedule, now, now + SPAN, row.anchor, MOST_INSTANTS)

    return max(Counter(instants()).values(), default=0)

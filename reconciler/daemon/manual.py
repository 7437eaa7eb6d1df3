"""A run that a person asks for: checked against the applied definition, then claimed like any other (rule R8)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ..history.base import History
from ..model.errors import Permanent, Transient
from ..model.job import Concurrency, JobSpec
from ..model.live import StandingJob
from ..model.run import Phase, RunRecord, RunRequest
from ..runs.cells import MOST_CELLS, again, with_values
from ..runs.parameters import resolve, shown
from .asked_code import asked_code, had_refs

if TYPE_CHECKING:
    from .run_loop import RunLoop

KEY_LENGTH = 200  # characters
LATEST = "latest"
SLOTS = 200  # the newest ones, among which the latest slot with cells is looked for
Expansion = Callable[[RunRequest], tuple[RunRequest, ...]]


@dataclass(frozen=True, slots=True)
class CellsAsked:
    """Cells that are not those of the job's strategy: `rows` of values, each with where it was written; or those of the
    slot of run `resume` that have not succeeded. `max_parallel` 0 = not said."""

    rows: tuple[tuple[Mapping[str, str], str], ...] = ()
    resume: str = ""
    max_parallel: int = 0


NO_CELLS = CellsAsked()


def check_key(key: str) -> None:
    """Raises Permanent if it is no idempotency key."""
    if len(key) > KEY_LENGTH or not key.isprintable() or (key and not key.strip()):
        raise Permanent(
            f"cannot take {shown(key)} as a key: at most {KEY_LENGTH} printable characters", code="key-invalid",
            hint="any text that only this request has, such as the id of the order that it is for",
        )  # fmt: skip


def same_request(
    history: History, before: RunRecord, given: Mapping[str, str], key: str, cells: CellsAsked = NO_CELLS,
    slots: Sequence[datetime] = (), refs: Sequence[str] = (),
) -> RunRecord:  # fmt: skip
    """The run that this key started, unless something else is asked for now: other parameters, refs or rows, or other
    `slots` of the past. A key alone asks only for its run. Raises Permanent."""
    first = [run for run in history.of_slot(before.job, before.slot) if run.attempt == 1]
    replayed = [run.replays for run in first if run.replays is not None]
    if replayed != list(slots) and not cells.resume:  # what is resumed may be a backfill
        raise _taken(
            before, key, "for other slots" if replayed and slots else "a backfill" if replayed else "no backfill"
        )
    if cells.rows and len(first) != len(cells.rows):
        raise _taken(before, key, "with other rows")
    if not had_refs(before.code, refs):
        raise _taken(before, key, "with another ref")
    if other := _other_values(before, given):
        raise _taken(before, key, f"with another {other}")
    for run, (row, where) in zip(first, cells.rows, strict=False):
        if other := _other_values(run, row):
            raise _taken(before, key, f"with another {other} ({_place(where, (run.cell or 0) + 1)})")
    return before


def _other_values(run: RunRecord, given: Mapping[str, str]) -> str:
    """The first parameter that the run has not got this value of."""
    had = dict(run.parameters)

    def differs(name: str, text: str) -> bool:
        return had.get(name) != (text.lower() if had.get(name) in ("true", "false") else text)

    return next((name for name, text in given.items() if differs(name, text)), "")


def _taken(before: RunRecord, key: str, what: str) -> Permanent:
    return Permanent(
        f"cannot run {before.job}: key {shown(key)} was given to {before.run_id}, {what}",
        code="key-taken", hint="a key stands for one request; choose a new one for a new run",
    )  # fmt: skip


def start(
    loop: "RunLoop", history: History, job: str, actor: str, given: Mapping[str, str], key: str, cells: CellsAsked,
    now: datetime, refs: Sequence[str] = (),
) -> RunRecord:  # fmt: skip
    """Claim it, in the loop's thread; of several cells the first one. Raises Permanent or Transient, each with a code
    and a hint."""
    standing = applied(loop, job)
    code = asked_code(standing.spec, refs)
    made = _cells(history, standing.spec, given, cells)
    values = resolve(standing.spec, given, standing.spec.strategy.axes) if made is None else ()
    active = loop.active(job)
    if active and standing.spec.concurrency_policy is Concurrency.FORBID:
        raise Permanent(
            f"cannot run {job}: {active[0].run_id} is {active[0].phase.value} (concurrency_policy: Forbid)",
            code="job-active", hint=f"wait for it, or end it: reconciler stop {job}",
        )  # fmt: skip
    record = loop.start_manual(standing, actor, now, values, key, made, code)
    if record is None:
        raise Transient(f"cannot run {job}: it is just being changed, try again", code="service-busy")
    return record


def _cells(history: History, spec: JobSpec, given: Mapping[str, str], asked: CellsAsked) -> Expansion | None:
    """How the request becomes cells, where it is not the job's own strategy that says so. Raises Permanent."""
    most = asked.max_parallel
    if not 0 <= most <= MOST_CELLS or (most and not asked.rows and not asked.resume):
        raise Permanent(f"cannot run {spec.name} with max_parallel {most}: it is for rows or resume, from 1 to "
                        f"{MOST_CELLS}", code="usage")  # fmt: skip
    if asked.rows and asked.resume:
        raise Permanent(f"cannot run {spec.name}: rows and resume exclude each other", code="usage")
    if asked.resume:
        failed = not_succeeded(history, spec.name, asked.resume)
        if given:
            raise Permanent(f"cannot resume {spec.name} with parameters: its cells keep theirs", code="usage")
        return lambda request: again(request, failed, asked.max_parallel)
    if not asked.rows:
        return None
    if len(asked.rows) > MOST_CELLS:
        raise Permanent(f"cannot run {spec.name}: {len(asked.rows)} rows, at most {MOST_CELLS}", code="rows-invalid")
    values = []
    for number, (row, where) in enumerate(asked.rows, 1):
        try:
            values.append(resolve(spec, {**given, **row}))
        except Permanent as error:
            raise Permanent(f"{error} ({_place(where, number)})", code=error.code, hint=error.hint) from None
    return lambda request: with_values(replace(request, max_parallel=asked.max_parallel), values)


def _place(where: str, number: int) -> str:
    return shown(where) if where and not where.isprintable() else where or f"row {number}"


def not_succeeded(history: History, job: str, run_id: str) -> list[RunRecord]:
    """The last attempts of those cells of a slot that are to be done again. `run_id` may be `latest`. Raises
    Permanent."""
    recent = history.runs(job, limit=SLOTS, fold=True)
    found = history.run(run_id) if run_id != LATEST else next((run for run in recent if run.cell is not None), None)
    if found is None or found.job != job or found.cell is None:
        raise Permanent(f"cannot resume {job}: no slot with cells is known by {shown(run_id)}", code="run-unknown",
                        hint=f"see: reconciler runs {job}")  # fmt: skip
    last = {run.cell: run for run in history.of_slot(job, found.slot)}.values()
    going_on = next((run for run in last if run.active), None)
    if going_on is not None:
        raise Permanent(f"cannot resume {job}: {going_on.run_id} has not ended", code="job-active",
                        hint="wait for the slot's last cell")  # fmt: skip
    failed = [run for run in last if run.phase is not Phase.SUCCEEDED]
    if not failed:
        raise Permanent(f"cannot resume {job}: all cells of {found.run_id} have succeeded", code="nothing-to-resume")
    return failed


def applied(loop: "RunLoop", job: str) -> StandingJob:
    """The job as it is applied, if it may run. Raises Permanent."""
    standing = loop.jobs.get(job)
    if standing is None:
        raise Permanent(f"cannot run {job!r}: no such job is applied", code="job-unknown",
                        hint="'reconciler jobs --all' lists them")  # fmt: skip
    if loop.drained:
        raise Permanent(f"cannot run {job}: {loop.drained}", code="draining", hint="reconciler drain --end")
    if standing.forbidden:
        raise Permanent(f"cannot run {job}: {standing.forbidden}", code="job-forbidden",
                        hint="policy and owners are in the service file: docs/reference/service.md")  # fmt: skip
    return standing

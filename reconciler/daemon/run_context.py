"""In: an open run and all that stands round it. Out: the Context in which its next step is chosen."""

from collections.abc import Mapping
from datetime import datetime

from ..history.base import History
from ..model.job import Concurrency, JobSpec
from ..model.live import StandingJob
from ..model.run import Phase, RunRecord, Trigger
from ..model.service import Limits
from ..runs.context import Context
from ..runs.devices import Devices
from ..runs.parameters import carried
from ..runs.places import Places
from ..schedule.after import awaited
from .cells import Cells
from .deciding import LEAD
from .run_book import Book, Open

UNSTARTED = (Phase.PENDING, Phase.PREPARING)


def context_of(
    entry: Open, spec: JobSpec, job: StandingJob | None, limits: Limits, places: Places, devices: Devices, book: Book,
    history: History, jobs: Mapping[str, StandingJob], cells: Cells, now: datetime, *, engine_ok: bool, drained: str,
) -> Context:  # fmt: skip
    run = entry.record
    begun, full = run.phase in UNSTARTED and cells.begun(run), places.cells_full(run)
    awaits, awaits_until = "", None
    if spec.wait_for and run.phase in UNSTARTED and now >= run.slot and not begun:
        awaits, awaits_until = awaited(spec, run.slot, jobs.get, history.last_success)
    return Context(
        complete=entry.known, listed_at=entry.seen_at, engine_ok=engine_ok, busy=entry.busy,
        no_place=places.lacking(spec), crowded=places.crowded(spec), drained=drained,
        no_device=devices.lacking(run, spec) if spec.resources.gpus else "",
        begun=begun, cells_full=full, awaits=awaits, awaits_until=awaits_until,
        blocked_by=book.blockers(run, places, in_line=spec.concurrency_policy is not Concurrency.ALLOW),
        limits=limits, prepare_lead=LEAD, current_digest=_newer(run, spec, job),
    )  # fmt: skip


def _newer(run: RunRecord, spec: JobSpec, job: StandingJob | None) -> str:
    """The digest of the job's definition, "" if that is not for this run: gone, or it takes other
    parameters, or the run is exactly an earlier one."""
    if run.trigger is Trigger.REPLAY:
        return ""
    if job is None or (job.digest != run.digest and carried(run, spec, job.spec) is None):
        return ""
    return job.digest

"""Which jobs are pruned next: those with new rows at once, all of them now and then, since rows age by themselves.

An idle fleet costs nothing between two rounds.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ..model.live import StandingJob
from ..model.run import RunRecord
from . import retention
from .database import Database
from .faults import decoding

ROUND_AFTER = timedelta(minutes=30)  # between the end of a round over all jobs and the next


class Pruner:
    """`touched` may be called from any thread, `prune` from one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._touched: dict[str, None] = {}  # in order; "" = rows that belong to no job
        self._up_to: str | None = ""  # the name that a round has reached; None = no round is under way
        self._ended: datetime | None = None  # when the last round was complete
        self._handed_out: list[str] = []  # runs returned by the last call

    def touched(self, job: str) -> None:
        """The job has new rows, or other limits."""
        self._touched[job] = None

    def prune(self, now: datetime, standing: Mapping[str, StandingJob]) -> Sequence[RunRecord]:
        """One bounded piece of work: call it again and again.

        The rows of the runs returned go with the next call, so that a crash before their log files were deleted
        only means that they are returned once more. Raises StateError.
        """
        if self._up_to is None and (self._ended is None or abs(now - self._ended) >= ROUND_AFTER):
            self._up_to = ""
        if self._up_to is None and not self._touched and not self._handed_out:
            return ()
        found: list[RunRecord] = []
        visited: list[str] = []
        try:
            with self._database.write() as connection:
                retention.drop_runs(connection, self._handed_out)
                jobs = self._next_touched() if self._up_to is None else retention.next_jobs(connection, self._up_to)
                for job in jobs:
                    room = retention.RUNS_PER_CALL - len(found)
                    if room <= 0:
                        break
                    visited.append(job)
                    self._touched.pop(job, None)  # before it is read: what is touched from now on comes again
                    if job:
                        limits = standing[job].spec.history if job in standing else None
                        with decoding(self._database.path):
                            found.extend(retention.prune_job(connection, job, now, room, limits))
                complete = len(jobs) < retention.JOBS_PER_CALL and len(visited) == len(jobs)
                if complete:
                    retention.prune_rest(connection, now)
        except BaseException:
            self._touched |= dict.fromkeys(visited)
            raise
        if len(found) >= retention.RUNS_PER_CALL:
            self.touched(visited[-1])  # it may have more to give
        if self._up_to is not None:
            self._up_to = None if complete else visited[-1]
            self._ended = now if complete else self._ended
        self._handed_out = [run.run_id for run in found]
        return found

    def _next_touched(self) -> list[str]:
        return list(self._touched)[: retention.JOBS_PER_CALL]

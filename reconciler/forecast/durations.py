"""How long runs take: as given, or as the last runs of the job took, or a default."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..model.run import Phase, RunRecord

MOST_SAMPLES = 100


def learned(runs: Iterable[RunRecord]) -> tuple[float, ...]:
    """Seconds of the runs that ended well, in the order of `runs`."""
    took = (
        (run.finished_at - run.started_at).total_seconds()
        for run in runs
        if run.phase is Phase.SUCCEEDED and run.started_at is not None and run.finished_at is not None
    )
    return tuple(seconds for seconds, _ in zip(took, range(MOST_SAMPLES), strict=False))


@dataclass(frozen=True, slots=True)
class Durations:
    """`given` before `learned` before `default`, which is half of the job's interval at most: what is not known should
    not look like a fault. The samples of a job are taken in turn: no chance is in it."""

    default: float
    intervals: Mapping[str, float] = field(default_factory=dict)
    given: Mapping[str, float] = field(default_factory=dict)
    learned: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __call__(self, job: str, nth: int) -> float:
        if (seconds := self.given.get(job)) is not None:
            return seconds
        samples = self.learned.get(job)
        if samples:
            return samples[nth % len(samples)]
        interval = self.intervals.get(job)
        return self.default if interval is None else min(self.default, interval / 2)

    def guessed(self, jobs: Iterable[str]) -> tuple[str, ...]:
        """The jobs for which nothing but the default is known."""
        return tuple(job for job in jobs if job not in self.given and not self.learned.get(job))

"""In: specs and an instant. Out: what a change means: runs a day, next fires, argv, warnings. Memoised per plan."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ..model.job import DesiredJob, JobSpec, Location, PullPolicy, Schedule, ScheduleKind
from ..model.live import StandingJob
from ..model.plan import FieldChange
from ..model.problem import FieldProblem, SpecProblem
from ..schedule.after import follows
from ..schedule.cron import latest_fires, next_fire, smallest_interval
from ..spec.argv import command_argv
from ..spec.nodes import pointer
from . import words
from .changes import place
from .context import PlanContext

NEXT_FIRES = 3
DETAILED = 200  # jobs whose fires are computed in one plan: ten thousand new jobs must not cost seconds
ARGV_WIDTH = 240
DAY = timedelta(days=1)


def _narrowed(schedule: Schedule) -> list[str]:
    """What stands round the line. Of several, each says its own."""
    said = [f"from {schedule.start}"] if schedule.start else []
    said += [f"until {schedule.end}"] if schedule.end else []
    said += [f"{schedule.jitter:.0f} s of jitter"] if schedule.jitter else []
    return [*said, *([f"except {words.days(schedule.exclude)}"] if schedule.exclude else [])]


@dataclass(slots=True)
class Effects:
    """One plan's notes. Schedules are computed once each, and for the first `DETAILED` jobs only."""

    ctx: PlanContext
    _left: int = DETAILED
    _rates: dict[tuple[Schedule, datetime], str] = field(default_factory=dict)

    # -- schedules --------------------------------------------------------------------------------------------
    def summary(self, spec: JobSpec) -> str:
        """`manual`, or the expression with its rate and next fires."""
        if spec.schedule.kind is ScheduleKind.MANUAL:
            cells = words.cells(spec.strategy) if spec.strategy.cells else ""
            fires = f"manual: fires by hand, and {follows(spec)}" if spec.after else "manual: fires only by hand"
            return f"{fires if spec.after else 'manual'}; {cells}" if cells else fires
        said = [words.schedule(spec.schedule), *_narrowed(spec.schedule)]
        if self._spend():
            said += [f"{self._rate(spec.schedule, self.ctx.now)} a day", self._next(spec.schedule, self.ctx.now)]
        if spec.strategy.cells:
            said.append(words.cells(spec.strategy))
        if spec.suspend:
            said.append("suspended, so it does not fire")
        return "; ".join(part for part in said if part)

    def replaced(self, row: StandingJob, job: DesiredJob, changes: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
        """The same changes with notes on those that mean more than they say."""
        detailed = self._spend()
        noted = []
        scheduled = any(c.field.split(".")[0] in ("schedule", "timezone", "dst") for c in changes)
        for change in changes:
            notes: tuple[str, ...] = ()
            if change.field in ("schedule", "timezone") and detailed:
                notes = self._schedule_notes(row, job.spec)
            elif change.field == "image":
                notes = self._image_notes(row, job.spec)
            elif change.field == "timeout" and detailed:
                notes = self._timeout_notes(job.spec)
            noted.append(replace(change, notes=change.notes + notes) if notes else change)
        if scheduled and detailed and not any(c.field == "timeout" for c in changes) and "timeout" in job.lines:
            notes = self._timeout_notes(job.spec)
            if notes:
                said = words.seconds(job.spec.timeout)
                noted.append(FieldChange("timeout", said, said, place(job, "timeout"), notes))
        return tuple(noted)

    def _schedule_notes(self, row: StandingJob, spec: JobSpec) -> tuple[str, ...]:
        if spec.schedule.kind is ScheduleKind.MANUAL:
            return (f"fires only by hand{f' and {follows(spec)}' if spec.after else ''} from now on",)
        anchor = row.anchor if row.spec.schedule == spec.schedule else self.ctx.now
        rates = [self._rate(row.spec.schedule, row.anchor), self._rate(spec.schedule, anchor)]
        rate = f"{rates[0].removesuffix(' runs').removesuffix(' run')} -> {rates[1]} a day"
        if rates[0] == rates[1]:
            rate = f"{rates[1]} a day, as before"
        following = self._next(spec.schedule, anchor)
        return (f"{rate}; {following}" if following else rate,)

    def _rate(self, schedule: Schedule, anchor: datetime) -> str:
        key = (schedule, anchor)
        if key not in self._rates:
            if schedule.kind is ScheduleKind.MANUAL:
                self._rates[key] = "0 runs"
            else:
                window = latest_fires(schedule, self.ctx.now, self.ctx.now + DAY, anchor)
                more = "at least " if window.capped else ""
                self._rates[key] = more + words.plural(window.count, "run") if window.count else "less than 1 run"
        return self._rates[key]

    def _next(self, schedule: Schedule, anchor: datetime) -> str:
        fires: list[datetime] = []
        after: datetime | None = self.ctx.now
        while after is not None and len(fires) < NEXT_FIRES:
            after = next_fire(schedule, after, anchor)
            if after is not None:
                fires.append(after)
        shown = " ".join(words.instant(at, schedule.timezone, self.ctx.now) for at in fires)
        return f"next {shown}" if shown else "! nothing is left to fire"

    def _timeout_notes(self, spec: JobSpec) -> tuple[str, ...]:
        """A run that may outlast the interval makes the next slot skip, overlap or end it."""
        interval = smallest_interval(spec.schedule) if spec.schedule.kind is not ScheduleKind.MANUAL else None
        if interval is None or spec.timeout <= interval:
            return ()
        return (f"! longer than the interval of {words.seconds(interval)}",)

    # -- what is run ------------------------------------------------------------------------------------------
    def _image_notes(self, row: StandingJob, spec: JobSpec) -> tuple[str, ...]:
        found = self.ctx.images.get(spec.image, "")
        if found and row.image_id:
            return (f"{words.short_id(row.image_id)} -> {words.short_id(found)}",)
        known = row.image_id.startswith("sha256:")
        return (f"{words.short_id(row.image_id)} until the new one is there",) if known else ()

    def installs(self, job: DesiredJob, *, argv: bool) -> tuple[str, ...]:
        """Notes of an action that installs: the final argv, the engine's warnings."""
        notes: list[str] = []
        final = command_argv(job.spec) if argv else None
        if final:
            shown = words.shorten(words.printable(" ".join(_quoted(word) for word in final)), ARGV_WIDTH)
            notes.append(f"runs  {shown}" + (f"   in the container {job.spec.exec_in}" if job.spec.exec_in else ""))
        if self.ctx.preview is not None:
            notes += [f"! {warning}" for warning in self.ctx.preview(job.spec).warnings]
        wanted = job.spec.resources.gpus or 0
        if self.ctx.gpus is not None and wanted > self.ctx.gpus:
            here = words.plural(self.ctx.gpus, "GPU") if self.ctx.gpus else "none"
            notes.append(f"! resources.gpus: {wanted}, and this host has {here}: it can never start")
        return tuple(notes)

    def refusals(self, job: DesiredJob) -> tuple[SpecProblem, ...]:
        """What the engine would refuse when this is applied, at the line where it was written."""
        found = self.ctx.preview(job.spec).problems if self.ctx.preview is not None else ()
        return tuple(_placed(problem, job) for problem in found)

    def inherited(self, job: DesiredJob) -> tuple[str, ...]:
        """`inherits timezone (_defaults.yaml:2)`: file and line of every field that the job file does not have, and of
        every key of a mapping that it has in part."""
        whole = {name for name, at in job.lines.items() if at.inherited and "." not in name}
        found = sorted(
            (name, at) for name, at in job.lines.items()
            if at.inherited and (name in whole or name.partition(".")[0] not in whole)
        )  # fmt: skip
        if not found:
            return ()
        said = [f"{name} ({at.path}:{at.line})" for name, at in found]
        return (f"inherits {words.names(said, 6)}",)

    def refreshed(self, row: StandingJob) -> str:
        """The id that a refresh found for the tag, if the job refreshes and runs another one; else ""."""
        if row.spec.pull_policy in (PullPolicy.MISSING, PullPolicy.NEVER):
            return ""
        found = self.ctx.images.get(row.spec.image, "")
        return found if found != row.image_id else ""

    def _spend(self) -> bool:
        self._left -= 1
        return self._left >= 0


def _placed(problem: FieldProblem, job: DesiredJob) -> SpecProblem:
    at = place(job, problem.field) or Location(job.path, 1)
    tokens = tuple(part for part in problem.field.partition(".")[::2] if part)
    return SpecProblem(
        at.path, at.line, 1, problem.code, problem.message, problem.hint, pointer(tokens), problem.severity
    )  # fmt: skip


def _quoted(word: str) -> str:
    plain = word and all(c.isalnum() or c in "-_./:=@%+," for c in word)
    return word if plain else "'" + word.replace("'", "'\\''") + "'"

"""In: the facts. Out: the links of a chain that every kind of slot has: who said it, its runs, its blockers."""

from ..model.desired import Commit
from ..plan import words
from .chain import Attempt, Blocker, Said
from .facts import Facts, RunFact
from .outlook import began


def said(facts: Facts) -> Said | None:
    """The commit and the line that made this a slot. Of a run by hand, the definition that it ran."""
    job, origin, spec = facts.standing, facts.origin, facts.spec
    if spec is None:
        if job is None:
            return None
        note = "what was in force before that is not known"
        return Said(Commit(job.revision), job.path, 0, words.schedule(job.spec.schedule), job.applied_at, note)
    run = facts.runs[0].run if facts.runs else None
    current = job is not None and (run.digest == job.digest if run is not None else spec == job.spec)
    applied_at = job.applied_at if job is not None and current else None
    note = ""
    if not current:
        note = "replaced since" if job is not None else "retired since"
    schedule = words.schedule(spec.schedule)
    if origin is None:
        revision = run.revision if run is not None else job.revision if job is not None else ""
        return Said(Commit(revision), job.path if job is not None and current else "", 0, schedule, applied_at, note)
    place = origin.places.get("schedule")
    return Said(
        origin.commit, place.path if place is not None else origin.path, place.line if place is not None else 0,
        schedule, applied_at, note,
    )  # fmt: skip


def blocker(facts: Facts, one: RunFact) -> Blocker:
    run, usual = one.run, facts.durations
    return Blocker(
        run.run_id, run.attempt, run.phase.value, began(run), None if run.active else run.finished_at,
        usual.p95 if usual is not None else None, usual.count if usual is not None else 0, one.last_line, one.line_at,
    )  # fmt: skip


def attempt(one: RunFact) -> Attempt:
    run = one.run
    started, ended = run.started_at, run.finished_at
    return Attempt(
        run.run_id, run.attempt, run.cell, run.trigger.value, run.actor, run.phase.value, started,
        (started - run.slot).total_seconds() if started is not None and run.attempt == 1 else None,
        (ended - started).total_seconds() if started is not None and ended is not None else None,
        run.exit_code, run.failure.value, run.reason, one.hint, one.last_line, run.cause,
    )  # fmt: skip


def held_problems(facts: Facts) -> tuple[str, ...]:
    """What is wrong with the newest file of the job, or with its change, if the definition before it had to stay."""
    if facts.held is None or not facts.held.problems:
        return ()
    word = "change could not be applied" if facts.held.apply_failed else "file cannot be used"
    stays = ", the definition before it stays" if facts.standing is not None else ""
    return (f"its newest {word}{stays}: {facts.held.problems[0]}",)

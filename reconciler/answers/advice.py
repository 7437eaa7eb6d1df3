"""In: the facts and the chain so far. Out: what a person can do about it: commands, and edits with file and line."""

from collections.abc import Callable, Iterator

from ..model.job import CatchUp, JobSpec
from ..plan import words
from ..schedule.cron import smallest_interval
from ..schedule.cursor import silent_until
from .chain import Can, Chain, Verdict
from .facts import Facts
from .outlook import covering
from .rules import Gate, Rule
from .settings import edit, setting

_LADDER = (60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200, 10800, 14400, 21600, 28800, 43200, 86400)
_ROOM = 4.0  # times the p95 that a timeout should leave
_BAD = (Verdict.FAILED, Verdict.TIMED_OUT, Verdict.OOM, Verdict.LOST)
Say = Callable[[Facts, Chain, Rule | None], Iterator[Can]]


def advice(facts: Facts, chain: Chain, rule: Rule | None) -> tuple[Can, ...]:
    """In the order in which one would try it."""
    found = [can for say in _SAY for can in say(facts, chain, rule)]
    return tuple(dict.fromkeys(found))


def _blockers(facts: Facts, _chain: Chain, _rule: Rule | None) -> Iterator[Can]:
    for one in facts.others:
        if not one.run.active:
            continue
        yield Can(f"reconciler stop {one.run.run_id}", "end it now")
        yield Can(f"reconciler logs {one.run.run_id} -f", "see what it does")
        yield from _shorter_timeout(facts)


def _shorter_timeout(facts: Facts) -> Iterator[Can]:
    """Of a job that usually is quick, and whose timeout would let it block many slots."""
    job, usual = facts.standing, facts.durations
    if job is None or usual is None:
        return
    value = sensible_timeout(job.spec, usual.p95)
    if value is not None and value < job.spec.timeout:
        yield Can(_edit(facts, "timeout", words.seconds(value)), "so that no run blocks many slots")


def sensible_timeout(spec: JobSpec, p95: float) -> float | None:
    """A round timeout that leaves room over the usual, within the interval if that is possible; None if it is too long
    for any."""
    interval = smallest_interval(spec.schedule)
    roomy = next((value for value in _LADDER if value >= _ROOM * p95), None)
    if roomy is None or interval is None or roomy <= interval:
        return roomy
    return next((value for value in _LADDER if 1.5 * p95 <= value <= interval), roomy)


def _under_way(facts: Facts, _chain: Chain, _rule: Rule | None) -> Iterator[Can]:
    active = next((one.run for one in facts.runs if one.run.active), None)
    if active is None:
        return
    if active.started_at is not None:
        yield Can(f"reconciler logs {active.run_id} -f", "see what it does")
    yield Can(f"reconciler show {active.run_id}", "how far it has got")
    yield Can(f"reconciler stop {active.run_id}", "end it")


def _bad_end(facts: Facts, chain: Chain, _rule: Rule | None) -> Iterator[Can]:
    if chain.verdict not in _BAD or not facts.runs:
        return
    run = next((one.run for one in reversed(facts.runs) if one.run.phase.bad), facts.runs[-1].run)
    if run.started_at is not None:
        yield Can(f"reconciler logs {run.run_id}", "what it printed")
    spec = facts.spec
    if spec is not None and chain.verdict is Verdict.OOM and spec.resources.memory is not None:
        yield Can(_edit(facts, "resources.memory", words.size(2 * spec.resources.memory)), "if it needs that much")
    elif spec is not None and chain.verdict is Verdict.TIMED_OUT:
        yield Can(_edit(facts, "timeout", words.seconds(2 * spec.timeout)), "if it needs that long")
    elif spec is not None and chain.verdict in (Verdict.FAILED, Verdict.LOST) and not spec.retries.limit:
        yield Can(_edit(facts, "retries.limit", "2"), "to try again by itself, if it may run twice")
    yield from _by_hand(facts, "do it again now")


def _not_run(facts: Facts, chain: Chain, rule: Rule | None) -> Iterator[Can]:
    spec = facts.spec
    if rule is None or chain.verdict not in (Verdict.MISSED, Verdict.UNAVAILABLE, Verdict.SUPERSEDED, Verdict.BLACKOUT):
        return
    if rule.gate is Gate.PREPARE:
        yield Can("reconciler doctor", "look at engine, disk and registry")
    if rule.setting == "wait_for" and spec is not None:
        for link in spec.wait_for:
            yield Can(f"reconciler why {link.job}", "what became of the job that it waits for")
    elif rule.setting == "queue.timeout" and spec is not None and spec.queue.timeout is not None:
        yield Can(_edit(facts, "queue.timeout", words.seconds(2 * spec.queue.timeout)), "to let it wait longer")
    elif rule.gate is Gate.QUEUE:
        yield Can("raise limits.max_running or limits.queue_timeout in the service file", "if the host can bear it")
    if spec is not None and rule.setting == "catch_up" and spec.catch_up is CatchUp.NONE:
        yield Can(_edit(facts, "catch_up", "latest"), "so that the latest slot is made up after a downtime")
    if spec is not None and rule.setting == "start_deadline" and spec.start_deadline is not None:
        yield Can(_edit(facts, "start_deadline", words.seconds(2 * spec.start_deadline)), "to allow it to start later")
    yield from _by_hand(facts, "do its work now")


def _skipped(facts: Facts, chain: Chain, _rule: Rule | None) -> Iterator[Can]:
    if chain.verdict is Verdict.SKIPPED and not any(one.run.active for one in facts.others):
        yield from _by_hand(facts, "do its work now")


def _by_hand(facts: Facts, why: str) -> Iterator[Can]:
    job = facts.standing
    if job is not None and not job.forbidden and not job.retiring:
        yield Can(f"reconciler run {facts.job}", why)


def _blocked(facts: Facts, _chain: Chain, _rule: Rule | None) -> Iterator[Can]:
    """What keeps the job from firing now, whatever became of this slot."""
    job = facts.standing
    if job is None:
        return
    if silent_until(job, facts.now) is not None:
        yield Can(f"reconciler resume {facts.job}", "let it fire from now on")
    if facts.drained:
        yield Can("reconciler drain --end", "let jobs start again")
    pause = covering(facts, facts.now)
    if pause is not None:
        yield Can(f"reconciler resume {'--all' if pause.job == '*' else facts.job}", "end the pause")
    if job.spec.suspend:
        found = setting("suspend", job.spec, facts.origin, facts.service)
        at = f" at {found.source}" if found.where is not None else f" in {job.path}"
        yield Can(f"remove `suspend: true`{at}", "let it fire; nothing from before is owed")
    if job.forbidden:
        yield Can(f"change {job.path}, or `policy` in the service file", "so that policy allows it")


def _held(facts: Facts, _chain: Chain, _rule: Rule | None) -> Iterator[Can]:
    if facts.held is None or not facts.held.problems:
        return
    problem = facts.held.problems[0]
    if problem.path:
        yield Can(f"fix {problem.path}:{problem.line}", problem.hint or problem.message)


def _edit(facts: Facts, name: str, value: str) -> str:
    job = facts.standing
    spec = facts.spec if facts.spec is not None else job.spec if job is not None else None
    assert spec is not None
    return edit(name, value, spec, facts.origin, job.path if job is not None else "its file", facts.service)


_SAY: tuple[Say, ...] = (_blocked, _blockers, _under_way, _bad_end, _not_run, _skipped, _held)

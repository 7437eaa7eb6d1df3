"""How a run ended is read from what is known, and what cannot be known is called lost (rules R3, R4)."""

import pytest

from reconciler.model.job import JobSpec, Resources
from reconciler.model.live import LivePhase, LiveRun
from reconciler.model.run import FailureClass, Phase, RunRecord
from reconciler.runs.machine import disposition_of
from reconciler.runs.verdict import exit_words, judge

from .kit import MINUTE, SLOT, exited, live, running, spec

LIMITED = spec(resources=Resources(memory=2**30))
STOPPED = {"stop_requested_at": SLOT + MINUTE, "stop_reason": "stopped by anna"}
TIMED_OUT = {"stop_requested_at": SLOT + MINUTE, "stop_reason": "timeout of 60 s"}

TABLE = [
    ("exit 0 succeeded", running(), exited(0), spec(), Phase.SUCCEEDED, FailureClass.NONE),
    ("exit 0 succeeded although some process was out of memory", running(), exited(0, oom=True), LIMITED,
     Phase.SUCCEEDED, FailureClass.NONE),
    ("another exit code failed", running(), exited(3), spec(), Phase.FAILED, FailureClass.EXIT),
    ("the engine's flag is oom", running(), exited(1, oom=True), spec(), Phase.OOM, FailureClass.OOM),
    ("137 under a memory limit is probably oom", running(), exited(137), LIMITED, Phase.OOM, FailureClass.OOM),
    ("137 with memory at its limit is probably oom", running(peak_memory=2**30), exited(137), LIMITED, Phase.OOM,
     FailureClass.OOM),
    ("137 far below the memory limit failed", running(peak_memory=2**20), exited(137), LIMITED, Phase.FAILED,
     FailureClass.EXIT),
    ("137 without a memory limit failed", running(), exited(137), spec(), Phase.FAILED, FailureClass.EXIT),
    ("137 that we sent is a cancellation", running(**STOPPED), exited(137), LIMITED, Phase.CANCELLED,
     FailureClass.STOPPED),
    ("our timeout", running(**TIMED_OUT), exited(143), spec(), Phase.TIMED_OUT, FailureClass.TIMEOUT),
    ("our timeout, although it said 0", running(**TIMED_OUT), exited(0), spec(), Phase.TIMED_OUT, FailureClass.TIMEOUT),
    ("stopped by a person", running(**STOPPED), exited(143), spec(), Phase.CANCELLED, FailureClass.STOPPED),
    ("it had ended before we asked", running(**STOPPED), exited(0, finished_at=SLOT + MINUTE / 2), spec(),
     Phase.SUCCEEDED, FailureClass.NONE),
    ("no exit code is lost", running(), exited(None), spec(), Phase.LOST, FailureClass.UNKNOWN),
    ("the host went down", running(), exited(None, error="host or supervisor went down"), spec(), Phase.LOST,
     FailureClass.HOST),
    ("255 as the engine went down", running(), exited(255, error="the engine went down"), spec(), Phase.LOST,
     FailureClass.HOST),
    ("137 as the engine went down is not oom", running(), exited(137, error="the engine went down"), LIMITED,
     Phase.LOST, FailureClass.HOST),
    ("255 of its own", running(), exited(255), spec(), Phase.FAILED, FailureClass.EXIT),
    ("it could not be executed", running(started_at=None), exited(127, started_at=None, error="no such file"), spec(),
     Phase.FAILED, FailureClass.REJECTED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("run", "seen", "job", "phase", "failure"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_R3_verdict(run: RunRecord, seen: LiveRun, job: JobSpec, phase: Phase, failure: FailureClass) -> None:
    outcome = judge(run, seen, job)
    assert (outcome.phase, outcome.failure, outcome.exit_code) == (phase, failure, seen.exit_code)
    assert outcome.reason or phase is Phase.SUCCEEDED
    assert (outcome.started_at, outcome.finished_at) == (seen.started_at, seen.finished_at)


def test_R3_what_is_not_certain_says_so() -> None:
    assert "probably" in judge(running(), exited(137), LIMITED).reason
    assert "probably" not in judge(running(), exited(137, oom=True), LIMITED).reason


def test_T5_a_slot_ran_or_was_lost() -> None:
    assert disposition_of(judge(running(), exited(3), spec())) == "ran"
    assert disposition_of(judge(running(), live(LivePhase.EXITED), spec())) == "lost"


def test_signals_are_named() -> None:
    assert [exit_words(code) for code in (1, 137, 143, 200)] == [
        "exit 1",
        "exit 137 (KILL)",
        "exit 143 (TERM)",
        "exit 200",
    ]

"""In: a run's record, what the engine shows of it after its end, its spec. Out: the Outcome (rules R3, R4)."""

from ..model.job import JobSpec
from ..model.live import WENT_DOWN, LiveRun
from ..model.run import FailureClass, Outcome, Phase, RunRecord

TIMEOUT = "timeout"  # the first word of the stop_reason of a run that we ended for its timeout
OF_THE_DISK = ("checkout-too-big:", "disk-full:")  # the same of one that took too much of the disk
BEFORE_THE_COMMAND = frozenset(
    {FailureClass.PACKAGES, FailureClass.START_SCRIPT}
)  # in the container, and by their log it was one of these
KILLED, ENGINE_DIED = 137, 255
_NEAR_LIMIT = 0.9  # of the memory limit: what "at its limit" means where the peak is known
_SIGNALS = {1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 11: "SEGV", 13: "PIPE",
            14: "ALRM", 15: "TERM"}  # fmt: skip


def judge(run: RunRecord, live: LiveRun, spec: JobSpec) -> Outcome:
    """How an ended run ended. What cannot be known is `lost`, never guessed."""
    if _stopped_by_us(run, live):
        return _stopped(run, live)
    if WENT_DOWN in live.error and live.exit_code != 0:
        return _outcome(live, Phase.LOST, FailureClass.HOST, live.error)
    if live.started_at is None and live.error:
        return _outcome(live, Phase.FAILED, FailureClass.REJECTED, live.error)
    if live.exit_code is None:
        return _outcome(live, Phase.LOST, FailureClass.UNKNOWN, "the engine shows no exit code")
    if live.exit_code == 0:
        return _outcome(live, Phase.SUCCEEDED, FailureClass.NONE, "")
    if live.oom:
        return _outcome(live, Phase.OOM, FailureClass.OOM, f"out of memory{_limit(spec)}")
    if live.exit_code == KILLED and _at_limit(run, spec):
        return _outcome(live, Phase.OOM, FailureClass.OOM, f"probably out of memory{_limit(spec)}: killed, not by us")
    if run.failure in BEFORE_THE_COMMAND:
        return _outcome(live, Phase.FAILED, run.failure, f"{run.failure.value}: {exit_words(live.exit_code)}")
    return _outcome(live, Phase.FAILED, FailureClass.EXIT, exit_words(live.exit_code))


def capability_hint(exit_code: int | None, tail: bytes) -> str:
    """What to try if a failure smells of a capability that the container does not have (rule S2); else ""."""
    if not exit_code or b"operation not permitted" not in tail.lower():
        return ""
    return "its log says 'Operation not permitted': containers have no capabilities but those in `cap_add`"


def exit_words(code: int) -> str:
    """`exit 1`, or `exit 143 (TERM)`."""
    signal = _SIGNALS.get(code - 128)
    return f"exit {code} ({signal})" if signal else f"exit {code}"


def _stopped_by_us(run: RunRecord, live: LiveRun) -> bool:
    """We asked it to end, and it had not ended by itself before that."""
    if run.stop_requested_at is None:
        return False
    return live.finished_at is None or live.finished_at >= run.stop_requested_at


def _stopped(run: RunRecord, live: LiveRun) -> Outcome:
    if run.stop_reason.startswith(TIMEOUT):
        return _outcome(live, Phase.TIMED_OUT, FailureClass.TIMEOUT, run.stop_reason)
    if run.stop_reason.startswith(OF_THE_DISK):
        return _outcome(live, Phase.FAILED, FailureClass.DISK, run.stop_reason)
    return _outcome(live, Phase.CANCELLED, FailureClass.STOPPED, run.stop_reason)


def _at_limit(run: RunRecord, spec: JobSpec) -> bool:
    """There is a memory limit, and the peak, where it is known, came near it."""
    limit = spec.resources.memory
    return limit is not None and (run.peak_memory is None or run.peak_memory >= _NEAR_LIMIT * limit)


def _limit(spec: JobSpec) -> str:
    limit = spec.resources.memory
    return "" if limit is None else f" at {limit / 2**20:.0f} MiB"


def _outcome(live: LiveRun, phase: Phase, failure: FailureClass, reason: str) -> Outcome:
    return Outcome(phase, live.exit_code, failure, reason, live.started_at, live.finished_at)

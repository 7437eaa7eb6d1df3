"""In: a run that an earlier process may have asked to start. Out: whether a start ever took effect (rule R1).

A request that is still in flight outlives its client. So a container that was never started is removed without force:
a late start then finds nothing. What happened in between is read from the Engine's events; what they no longer tell
is reported as unknown, never guessed.
"""

from ..model.errors import EngineUnavailable
from ..model.ids import container_name, parse_run_id
from ..model.live import LivePhase, LiveRun
from .docker_core import Core, live_run
from .docker_errors import Conflict
from .docker_events import Past, past_of

UNKNOWN = "result unknown: the container is gone, and the Engine's events no longer tell whether it ran"
NO_RESULT = "result unknown: it was started and removed, and the Engine's events hold no exit code"


def find_start(core: Core, run_id: str, ref: str) -> LiveRun | None:
    """The run as last seen, or None if it provably never started. Raises EngineUnavailable, NotOurs."""
    found = core.find_own(ref or container_name(core.context.instance, run_id), "recover", run_id)
    if found is None and not ref:
        return None  # no container of this name, so no start of it was ever asked for
    if found is not None:
        if found.phase is not LivePhase.CREATED:
            return live_run(found, run_id)
        ref = found.ref
        try:
            core.remove(ref, run_id)
        except Conflict as error:
            again = core.find(ref, run_id)
            if again is not None and again.phase is LivePhase.CREATED:
                raise EngineUnavailable(f"cannot recover {run_id}: the Engine is busy with it") from error
            if again is not None:
                return live_run(again, run_id)
    return _verdict(run_id, ref, past_of(core, ref, run_id), seen_unstarted=found is not None)


def _verdict(run_id: str, ref: str, past: Past, *, seen_unstarted: bool) -> LiveRun | None:
    job = parse_run_id(run_id).job
    if past.started_at is not None:
        error = "" if past.exit_code is not None else NO_RESULT
        return LiveRun(
            run_id, job, ref, LivePhase.EXITED, past.exit_code, past.started_at, past.finished_at, error=error
        )
    # Its removal is among the events, so a start shortly before would be, too.
    if past.destroyed and (past.created or seen_unstarted):
        return None
    return LiveRun(run_id, job, ref, LivePhase.EXITED, error=UNKNOWN)

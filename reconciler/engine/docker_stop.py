"""In: a run and a grace period. Out: a run that has ended: TERM to its whole group, then KILL (rule R4).

The Engine's own `stop` is not used: it hangs when the Engine hangs, and its deadline dies with it. Signals and short
inspections, each with a deadline of its own, keep the time-keeping here.
"""

import time
from collections.abc import Callable

from ..model.errors import EngineUnavailable
from ..model.live import LivePhase
from .docker_client import translated
from .docker_core import Core, Found
from .docker_errors import Absent, Conflict

FIRST_LOOK, LAST_LOOK = 0.02, 0.5  # seconds between looks, doubling
DIES_WITHIN = 30.0  # seconds after KILL


def stop(core: Core, found: Found | None, thing: str, grace: float) -> None:
    """TERM, wait up to `grace` seconds, KILL. Raises EngineUnavailable if it is not seen to end."""
    if found is None or found.phase is not LivePhase.RUNNING:
        return
    try:
        signal(core, found.ref, "SIGTERM", thing)
    except EngineUnavailable:
        pass  # perhaps delivered: wait as if it was, KILL follows
    if not ended_within(core, found.ref, thing, grace):
        kill(core, found, thing)


def kill(core: Core, found: Found | None, thing: str) -> None:
    """KILL, and wait until it has ended. Raises EngineUnavailable."""
    if found is None or found.phase is not LivePhase.RUNNING:
        return
    signal(core, found.ref, "SIGKILL", thing)
    if not ended_within(core, found.ref, thing, DIES_WITHIN):
        raise EngineUnavailable(f"cannot stop {thing}: it still runs {DIES_WITHIN:.0f} s after KILL")


def signal(core: Core, ref: str, name: str, thing: str) -> None:
    """Send a signal to docker-init, which passes it to the command's whole process group. Not running = success."""
    try:
        with translated("stop", thing):
            core.clients.command("POST", f"/containers/{ref}/kill", {"signal": name})
    except (Absent, Conflict):
        return


def ended_within(core: Core, ref: str, thing: str, seconds: float) -> bool:
    """Look until it has ended or is gone; False if it still runs after `seconds`."""

    def runs() -> bool:
        found = core.find(ref, thing)
        return found is not None and found.phase is LivePhase.RUNNING

    return over_within(runs, seconds)


def over_within(runs: Callable[[], bool], seconds: float) -> bool:
    """The same of whatever `runs` asks for."""
    deadline = time.monotonic() + seconds
    pause = FIRST_LOOK
    while True:
        try:
            if not runs():
                return True
        except EngineUnavailable:
            pass  # one look that failed is no reason to give up before the deadline
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(LAST_LOOK, pause * 2)

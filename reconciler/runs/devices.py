"""In: the host's devices and the open runs. Out: which devices a run may lease now (rule R2).

A lease is the `devices` of a record. It holds from the preparation until the container has gone: what could still use
a device keeps it. Nobody takes a device past a run that is first in line and waits for more than are free.
"""

from collections.abc import Iterable, Sequence

from ..model.job import JobSpec
from ..model.live import LivePhase, LiveRun
from ..model.run import RunRecord


def held(run: RunRecord, live: LiveRun | None = None) -> tuple[str, ...]:
    """The devices that nobody else may have on account of this run. A container that is kept for debugging has ended,
    and has none; one that runs has what it was made with, whatever its record says."""
    if live is not None and live.phase is LivePhase.RUNNING:
        return tuple(dict.fromkeys((*run.devices, *live.devices)))
    if run.discarded or (not run.active and run.hold_until is not None):
        return ()
    return run.devices


class Devices:
    """Of one round. `known`: the engine was listed since the start, so that no run is missing. Tell `waits` and
    `taken` of each run after its turn."""

    def __init__(
        self, inventory: Sequence[str], runs: Iterable[tuple[RunRecord, LiveRun | None]], *, known: bool = True
    ) -> None:
        self._inventory, self._known = tuple(inventory), known
        self._held: dict[str, str] = {}  # device -> run id
        for run, live in runs:
            for device in held(run, live):
                self._held[device] = run.run_id
        self._first = ""  # who waits for more than are free: what is free is kept for it

    def lacking(self, run: RunRecord, spec: JobSpec) -> str:
        """What has to be there before it can be made ready, in words; "" = nothing is lacking."""
        wanted = spec.resources.gpus or 0
        if not wanted or run.devices:
            return ""
        words = "1 GPU" if wanted == 1 else f"{wanted} GPUs"
        if wanted > len(self._inventory):
            return f"{words} (this host has {len(self._inventory) or 'none'})"
        if not self._known:
            return f"{words} (which are leased is not known yet)"
        return "" if not self._first and len(self._free()) >= wanted else words

    def offer(self, run: RunRecord, spec: JobSpec) -> tuple[str, ...]:
        """What it would be given now: the first free ones, in the order of the inventory; its own if it has some."""
        wanted = spec.resources.gpus or 0
        if run.devices or not wanted or self.lacking(run, spec):
            return run.devices
        return self._free()[:wanted]

    def taken(self, run: RunRecord) -> None:
        """Its turn is over."""
        for device in held(run):
            self._held[device] = run.run_id

    def waits(self, run: RunRecord, spec: JobSpec) -> None:
        """It is ready but for its devices. Whoever can never be served keeps nobody waiting."""
        if not self._first and (spec.resources.gpus or 0) <= len(self._inventory):
            self._first = run.run_id

    def _free(self) -> tuple[str, ...]:
        """A lease in the other notation (index or UUID) may be of any of these devices, so none is free."""
        if any(device.isdecimal() != name.isdecimal() for device in self._held for name in self._inventory[:1]):
            return ()
        return tuple(device for device in self._inventory if device not in self._held)

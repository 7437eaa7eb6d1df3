"""In: a running container. Out: its peak memory and CPU seconds, as last seen; an ended one no longer tells.

On an Engine of this host the control group's own files are read (microseconds); else the Engine is asked.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..model.errors import EngineRejected, EngineUnavailable
from .base import Usage
from .docker_client import translated
from .docker_core import Core, Remembered

# Control group folders for cgroup v1 and v2, each with the cgroupfs and the systemd driver. {id} is the full id.
V1_MEMORY = ("/sys/fs/cgroup/memory/docker/{id}", "/sys/fs/cgroup/memory/system.slice/docker-{id}.scope")
V1_CPU = ("/sys/fs/cgroup/cpuacct/docker/{id}", "/sys/fs/cgroup/cpuacct/system.slice/docker-{id}.scope",
          "/sys/fs/cgroup/cpu,cpuacct/docker/{id}")  # fmt: skip
V2 = ("/sys/fs/cgroup/system.slice/docker-{id}.scope", "/sys/fs/cgroup/docker/{id}")


_FULL_ID = re.compile(r"[0-9a-f]{64}")


class UsageSampler:
    """Keeps the last sample of each run, since the numbers go with the process."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._last: Remembered[str, Usage] = Remembered()

    def sample(self, ref: str) -> None:
        """Take a sample if that costs no request. Called with each listing for what runs."""
        if self._core.clients.local and _FULL_ID.fullmatch(ref):
            self._keep(ref, _from_files(ref))

    def usage(self, run_id: str, ref: str) -> Usage:
        """The best known; asks the Engine if there are no files to read."""
        self.sample(ref)
        if self._last.get(ref) is None and _FULL_ID.fullmatch(ref):
            self._keep(ref, self._from_engine(run_id, ref))
        return self._last.get(ref) or Usage()

    def _keep(self, ref: str, fresh: Usage) -> None:
        old = self._last.get(ref) or Usage()
        best = Usage(_most(old.peak_memory, fresh.peak_memory), _most(old.cpu_seconds, fresh.cpu_seconds))
        if best != Usage():
            self._last.put(ref, best)

    def _from_engine(self, run_id: str, ref: str) -> Usage:
        try:
            with translated("measure", run_id):
                stats = self._core.clients.get().stats(ref, stream=False, one_shot=True)
                return _from_stats(stats)
        except (EngineUnavailable, EngineRejected):
            return Usage()  # best effort


def _from_stats(stats: Mapping[str, Any]) -> Usage:
    memory, cpu = stats.get("memory_stats") or {}, (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    peak = memory.get("max_usage") or memory.get("usage")
    total = cpu.get("total_usage")
    return Usage(int(peak) if peak else None, total / 1e9 if total else None)


def _from_files(ref: str) -> Usage:
    memory = [f"{folder}/memory.max_usage_in_bytes" for folder in V1_MEMORY] + [
        f"{folder}/memory.peak" for folder in V2
    ]
    peak = _first_number(memory, ref)
    nanoseconds = _first_number([f"{folder}/cpuacct.usage" for folder in V1_CPU], ref)
    if nanoseconds is not None:
        return Usage(peak, nanoseconds / 1e9)
    return Usage(peak, _v2_cpu(ref))


def _v2_cpu(ref: str) -> float | None:
    for folder in V2:
        for line in _text(f"{folder}/cpu.stat".format(id=ref)).splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
    return None


def _first_number(paths: list[str], ref: str) -> int | None:
    for path in paths:
        text = _text(path.format(id=ref)).strip()
        if text.isdigit():
            return int(text)
    return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _most(old: Any, new: Any) -> Any:
    return new if old is None else old if new is None else max(old, new)

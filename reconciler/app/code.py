"""What makes the code of runs: where it lies on this host, and whom it belongs to."""

import os
from collections.abc import Callable
from pathlib import Path

from ..engine.process_spawn import JobUser, job_user
from ..engine.process_stage import place_outside
from ..model.job import JobSpec
from ..model.service import ServiceConfig
from ..spec.filemodes import numeric_user, staged_owner
from ..workspace.code import ROOT, Code

Left = Callable[[str, Path], None]


def code_part(config: ServiceConfig, engine: str, instance_id: str, left: Left) -> Code:
    """The part of a run's workspace that is its code, for this engine. `left` hears of a run, and of what cannot be
    removed."""
    root = Path(config.state_dir) / ROOT
    if engine != "process":
        return Code(root, root / "runs", in_container, left=left)
    user = job_user(config.process_user)
    outside = place_outside(user, Path(config.state_dir), instance_id)
    runs = root / "runs" if outside is None else Path(f"{outside}-code")
    return Code(root, runs, lambda _spec: _on_host(user), left=left)


def in_container(spec: JobSpec) -> tuple[int, int] | None:
    """A service that is root gives the code to the numbers of the job's user; those of a name only the image knows."""
    if os.geteuid() != 0 or numeric_user(spec.user) is None:
        return None
    return staged_owner(spec.user, os.geteuid(), os.getegid())


def _on_host(user: JobUser) -> tuple[int, int] | None:
    return (user.uid, user.gid) if user.switch else None

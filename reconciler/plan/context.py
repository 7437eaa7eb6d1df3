"""What a plan needs to know besides desired and live state; all of it given by the caller."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ..model.job import JobSpec
from ..model.problem import FieldProblem


class PreviewLike(Protocol):
    """What an engine says of a spec without being asked to do anything (`engine.base.Preview` fits)."""

    @property
    def argv(self) -> tuple[str, ...] | None: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def problems(self) -> tuple[FieldProblem, ...]: ...


@dataclass(frozen=True, slots=True)
class PlanContext:
    """`now` is aware UTC. The mappings are only read.

    approvals: plan digest or full commit id -> who approved it.
    active_runs: job name -> number of active runs.
    stalled: job name -> why its installation is given up until its file changes (rule P1).
    images: image reference -> the id that a refresh found for it (`pull_policy` always, daily, weekly); a job that
    refreshes and runs another id is then replaced (rule P4). Empty = no refresh was made.
    gpus: how many the host has; None = not known.
    preview: final argv, warnings and problems of the engine; None = the argv alone is shown.
    """

    now: datetime
    approvals: Mapping[str, str] = field(default_factory=dict)
    previous_revision: str = ""
    active_runs: Mapping[str, int] = field(default_factory=dict)
    stalled: Mapping[str, str] = field(default_factory=dict)
    preview: Callable[[JobSpec], PreviewLike] | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    gpus: int | None = None

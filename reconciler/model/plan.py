"""A plan: immutable, and with no choices left for whoever carries it out."""

from dataclasses import dataclass
from enum import StrEnum

from .errors import Refusal
from .job import DesiredJob, Location
from .problem import SpecProblem


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, old and new in the words of a job file; `notes` say what it means (`96 -> 144 runs a day`)."""

    field: str
    old: str
    new: str
    where: Location | None = None
    notes: tuple[str, ...] = ()


class ActionKind(StrEnum):
    CREATE = "create"
    REPLACE = "replace"
    HEAL = "heal"  # the standing object is gone or drifted; the spec is unchanged
    MOVE = "move"  # moved_from: history, cursor and running runs go along
    RETIRE = "retire"
    HOLD = "hold"  # nothing is done; shown, so that silence is never ambiguous
    FORBID = "forbid"  # today's policy no longer allows the live version: it stops firing
    PERMIT = "permit"  # a forbidden live version is allowed again


@dataclass(frozen=True, slots=True)
class Action:
    """One step. `job` is set where something is installed; `digest` is what the live object must end up with.

    `keep_cursor`: what is owed stays owed (rule T4); False when the job is new or its schedule was edited.
    """

    kind: ActionKind
    name: str
    why: str
    path: str = ""
    owner: str = ""
    job: DesiredJob | None = None
    old_digest: str = ""
    changes: tuple[FieldChange, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[SpecProblem, ...] = ()
    moved_from: str = ""
    keep_cursor: bool = True
    stop_runs: bool = False  # on_retire: stop
    image_id: str = ""  # the image that runs must use, if it is known already; "" = resolved when applied
    forbids: str = ""  # why the live version must stop firing before anything else is tried (rule D2)

    @property
    def changes_something(self) -> bool:
        return self.kind is not ActionKind.HOLD

    @property
    def digest(self) -> str:
        """The digest that the live object ends up with; "" for a retirement."""
        return self.job.digest if self.job is not None else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything between live and desired. A plan with `refusals` is not applied, in whole or in part.

    `digest` names exactly this plan; `approvals` are the ones that were given and counted.
    """

    revision: str
    previous: str
    actions: tuple[Action, ...]
    unchanged: int
    digest: str
    refusals: tuple[Refusal, ...] = ()
    problems: tuple[SpecProblem, ...] = ()
    needs_approval: tuple[str, ...] = ()  # reasons that `approve DIGEST` lifts
    subject: str = ""
    author: str = ""
    signed_by: str = ""  # one of `people`, where `source.require_signed` has somebody ask
    committed_at: float = 0.0
    ref: str = ""

    @property
    def changes(self) -> tuple[Action, ...]:
        return tuple(a for a in self.actions if a.changes_something)

    @property
    def refused(self) -> bool:
        return bool(self.refusals)

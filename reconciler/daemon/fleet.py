"""What the loops publish to each other and to the server: immutable values behind one swapped reference."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..model.desired import DesiredState
from ..model.live import LiveState, StandingJob
from ..model.plan import Plan
from ..model.service import ServiceConfig


@dataclass(frozen=True, slots=True)
class Condition:
    """One part's health. `since` changes only when `ok` or `code` do."""

    ok: bool
    since: datetime
    code: str = ""
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """One consistent picture. `generation` grows whenever the standing jobs or the configuration change, `drafts`
    while an apply is under way: the ledger's rows are ahead of `standing` then."""

    config: ServiceConfig
    standing: Mapping[str, StandingJob] = field(default_factory=dict)
    desired: DesiredState | None = None
    live: LiveState | None = None
    plan: Plan | None = None
    generation: int = 0
    drafts: int = 0
    synced_at: datetime | None = None
    applying: str = ""  # what apply is busy with, for STATUS


class Fleet:
    """Holds the current View and the conditions. Readers take the reference; writers swap it."""

    def __init__(self, config: ServiceConfig) -> None:
        self._lock = threading.Lock()
        self._view = View(config)
        self._conditions: dict[str, Condition] = {}

    @property
    def view(self) -> View:
        return self._view

    def change(self, edit: Callable[[View], View]) -> View:
        """Swap in what `edit` makes of the current view."""
        with self._lock:
            self._view = edit(self._view)
            return self._view

    def publish_standing(self, standing: Mapping[str, StandingJob]) -> None:
        self.change(lambda view: replace(view, standing=standing, generation=view.generation + 1))

    def draft(self) -> None:
        """Apply has changed rows in the ledger and goes on; `publish_standing` follows when it is done."""
        self.change(lambda view: replace(view, drafts=view.drafts + 1))

    def reconfigure(self, config: ServiceConfig) -> None:
        self.change(lambda view: replace(view, config=config, generation=view.generation + 1))

    @property
    def conditions(self) -> dict[str, Condition]:
        with self._lock:
            return dict(self._conditions)

    def set_condition(self, name: str, now: datetime, *, code: str = "", message: str = "", hint: str = "") -> bool:
        """Record a part's health, fine if `code` is empty. True if it is another state than before."""
        with self._lock:
            old = self._conditions.get(name)
            changed = old is None or old.code != code
            since = now if old is None or changed else old.since
            self._conditions[name] = Condition(not code, since, code, message, hint)
            return changed and not (old is None and not code)

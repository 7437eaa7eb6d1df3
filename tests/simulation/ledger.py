"""The real ledger, behind a door at which each write may be refused by the disk or be the process's last act."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from reconciler.history.sqlite import SqliteHistory

from .faults import Fates, timed

WRITES = frozenset({
    "set_meta", "put_standing", "move_standing", "drop_standing", "set_cursor", "begin_intent", "end_intent", "claim",
    "update_run", "put_pause", "drop_pause", "approve", "spend_approval", "add_events", "prune",
})  # fmt: skip


class Ledger:
    """Everything that `SqliteHistory` has. `tell(name, arguments)` hears of each write that took effect."""

    def __init__(self, history: SqliteHistory, fates: Fates, tell: Callable[[str, tuple[Any, ...]], None]) -> None:
        self._history, self._fates, self._tell = history, fates, tell

    def __getattr__(self, name: str) -> Any:
        """Found once per name, then an attribute of its own."""
        found = getattr(self._history, name)
        if name in WRITES:
            found = self._write(name, found)
        setattr(self, name, found)
        return found

    def _write(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **named: Any) -> Any:
            def act() -> Any:
                made = inner(*arguments, **named)
                self._tell(name, arguments)
                return made

            return timed(self._fates.write, act)

        return write

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        with self._history.together():
            yield
            dies = self._fates.begin()
        if dies:
            timed(lambda: True, lambda: None)

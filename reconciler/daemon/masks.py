"""The values that runs have been given, for whoever writes what runs or the engine say. No value leaves here."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..model.errors import ReconcilerError
from ..model.live import LiveRun
from ..model.secret import Secret
from ..runs.masking import Mask, StreamMask

T = TypeVar("T")


class Masks:
    """Knows none until it may look somewhere. May be used from several threads."""

    def __init__(self) -> None:
        self._values: Callable[[str], Sequence[Secret]] = lambda _run_id: ()
        self._lock = threading.Lock()
        self._of: dict[str, frozenset[bytes]] = {}
        self._all: Mask | None = None  # of what all open runs were given; None = not made

    def look_in(self, values: Callable[[str], Sequence[Secret]]) -> None:
        """Where to find what a run was given, by an earlier process perhaps."""
        self._values = values

    def learn(self, run_id: str) -> None:
        """A run has been given its values, or is taken up again."""
        values = frozenset(value.reveal() for value in self._values(run_id))
        with self._lock:
            if values and self._of.get(run_id) != values:
                self._of[run_id] = values | self._of.get(run_id, frozenset())  # an older one may be known to it
                self._all = None

    def forget(self, run_id: str) -> None:
        """Nothing more will be said of it."""
        with self._lock:
            if self._of.pop(run_id, None) is not None:
                self._all = None

    def stream(self, run_id: str) -> StreamMask | None:
        """For the output of one run; None = it has no secrets."""
        self.learn(run_id)
        with self._lock:
            values = self._of.get(run_id)
        return StreamMask(Mask(values)) if values else None

    def text(self, text: str) -> str:
        with self._lock:
            if not self._of:
                return text
            if self._all is None:
                self._all = Mask(frozenset().union(*self._of.values()))
            mask = self._all
        return mask.text(text)

    def anything(self, value: Any) -> Any:
        """The same with every text in it masked; what is no text, list, tuple, dict or error is left."""
        if not self._of:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.anything(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self.anything(item) for item in value)
        return self.text(repr(value)) if isinstance(value, BaseException) else value

    def error(self, error: ReconcilerError) -> ReconcilerError:
        """What an engine says may hold what it was told."""
        error.args = tuple(self.anything(arg) for arg in error.args)
        error.hint = self.text(error.hint)
        return error

    def answer(self, value: T) -> T:
        """A run as an engine shows it, with what the engine says of it."""
        if isinstance(value, LiveRun) and value.error:
            return replace(value, error=self.text(value.error))
        return value

"""In: a look-up and its key. Out: its answer, at most a moment old: fifty jobs of one image look it up once."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

FRESH = 2.0  # seconds
LIMIT = 2048  # answers kept


class Recent:
    """Answers of the last moment. Misses (None) are never kept. Safe for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: dict[str, tuple[float, Any]] = {}

    def get(self, key: str, ask: Callable[[], T | None]) -> T | None:
        kept = self._answers.get(key)
        now = self._clock()
        if kept is not None and now - kept[0] < FRESH:
            answer: T = kept[1]
            return answer
        fresh = ask()
        if fresh is not None:
            if len(self._answers) >= LIMIT:
                self._answers = {}
            self._answers[key] = now, fresh
        return fresh

    def forget(self, key: str) -> None:
        self._answers.pop(key, None)

    def clear(self) -> None:
        """After the Engine said that something is missing: look everything up again."""
        self._answers = {}

"""The same question by many at once -> few answers, and none that is older than its question."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

V = TypeVar("V")


class Shared(Generic[V]):
    """Who asks while another is being answered waits for the next answer, together with all who come meanwhile."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._turns: dict[Hashable, threading.Lock] = {}
        self._next: dict[Hashable, Future[V]] = {}  # answers that nobody has begun to look for

    def ask(self, key: Hashable, call: Callable[[], V]) -> V:
        """What `call` gives, or raises, for all who share it. It begins after this was called."""
        with self._guard:
            answer, turn = self._next.get(key), self._turns.setdefault(key, threading.Lock())
            if answer is not None:
                mine = False
            else:
                answer, mine = self._next.setdefault(key, Future()), True
        if mine:
            with turn:
                with self._guard:
                    del self._next[key]
                try:
                    answer.set_result(call())
                except BaseException as error:  # noqa: BLE001  raised below, by each of them
                    answer.set_exception(error)
            with self._guard:
                if key not in self._next:
                    self._turns.pop(key, None)
        return answer.result()

"""Promise: many who ask the same at once cost few answers, and nobody gets one that is older than the question."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.workspace.sharing import Shared
from tests.kit.service import eventually


class Key:
    """Counts how often it was looked up, which tells that somebody has asked."""

    def __init__(self) -> None:
        self.looked = 0

    def __hash__(self) -> int:
        self.looked += 1
        return 1


def test_all_who_come_while_one_is_answered_share_the_next_answer() -> None:
    shared, key, go, calls = Shared[int](), Key(), threading.Event(), []

    def look() -> int:
        calls.append(threading.get_ident())
        if len(calls) == 1:
            assert go.wait(20)
        return len(calls)

    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(shared.ask, key, look)
        eventually(lambda: calls, "the first is being answered")
        before = key.looked
        others = [pool.submit(shared.ask, key, look) for _ in range(5)]
        eventually(lambda: key.looked - before == 11, "all have asked")  # two looks each, a third of who asks for them
        go.set()
        assert first.result(20) == 1 and [other.result(20) for other in others] == [2] * 5
    assert len(calls) == 2
    assert shared.ask(key, look) == 3


def test_an_error_is_of_all_who_share_it_and_of_nobody_else() -> None:
    shared: Shared[int] = Shared()

    def fail() -> int:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            shared.ask("a", fail)
    assert shared.ask("a", lambda: 1) == 1


def test_other_questions_do_not_wait() -> None:
    shared, go, begun = Shared[int](), threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert go.wait(20)
        return 1

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shared.ask, "a", slow)
        assert begun.wait(20)
        assert shared.ask("b", lambda: 2) == 2
        go.set()
        assert waiting.result(20) == 1

"""Promise: what rings is heard beside the Engine's own events, which end and fail for the listener as they ever did."""

from collections.abc import Iterator
from threading import Event as Flag

import pytest

from reconciler.engine.docker_bell import Bell
from reconciler.model.errors import EngineUnavailable

WITHIN = 30.0  # seconds


def test_both_are_heard_and_the_end_of_the_stream_is_the_end() -> None:
    bell, go_on = Bell(), Flag()

    def kicks() -> Iterator[str]:
        yield "a"
        assert go_on.wait(WITHIN)
        yield "c"

    heard = bell.beside(kicks())
    assert next(heard) == "a"
    bell.ring("b")
    assert next(heard) == "b"
    go_on.set()
    assert list(heard) == ["c"]
    bell.ring("nobody listens")


def test_what_the_stream_raises_is_raised_after_what_was_heard() -> None:
    def kicks() -> Iterator[str]:
        yield "a"
        raise EngineUnavailable("away")

    heard = Bell().beside(kicks())
    assert next(heard) == "a"
    with pytest.raises(EngineUnavailable):
        next(heard)


def test_each_listener_hears_it_and_a_name_once() -> None:
    bell, over = Bell(), Flag()

    def kicks() -> Iterator[str]:
        yield "begin"
        assert over.wait(WITHIN)

    listeners = [bell.beside(kicks()) for _ in range(2)]
    assert [next(listener) for listener in listeners] == ["begin", "begin"]
    bell.ring("a")
    bell.ring("a")
    over.set()
    assert [list(listener) for listener in listeners] == [["a"], ["a"]]

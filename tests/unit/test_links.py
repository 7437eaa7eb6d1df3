"""Promise: a link of a checkout leads nowhere but into it, and finding that out takes bounded work."""

import time

import pytest

from reconciler.workspace.links import MOST_HOPS, leaving

LINKS = {
    "in": "sub/a.txt", "sub/up": "..", "sub/in": "../train.py", "out": "/etc/passwd", "climb": "../x",
    "sneaky": "sub/up/../x", "through": "out", "loop": "loop", "deep": "sub/up/sub/up/train.py", "dot": "./sub//up/.",
    "file": "train.py/../..", "a/b/c": "../../sub", "a/b/d": "c/up/..",
}  # fmt: skip


def test_those_that_leave_go_round_or_lead_through_one_that_does() -> None:
    assert leaving(LINKS) == {"out", "climb", "sneaky", "through", "loop", "file", "a/b/d"}


@pytest.mark.parametrize(("length", "gone"), [(MOST_HOPS, 0), (MOST_HOPS + 1, 1)])
def test_a_chain_is_followed_as_far_as_the_kernel_follows_it(length: int, gone: int) -> None:
    assert len(leaving({f"l{n}": f"l{n + 1}" for n in range(length)})) == gone


def test_beyond_the_bound_all_that_are_left_count_as_leaving() -> None:
    links = {"a": "x", "b": "x", "c": "x"}
    assert [leaving(links, most) for most in (6, 5, 4, 0)] == [set(), {"c"}, {"c"}, {"a", "b", "c"}]


def test_S5_links_that_multiply_take_no_more_than_a_few_seconds() -> None:
    links = {f"l{n}": "/".join(("d",) * 2000) + f"/../l{n + 1}" for n in range(2000)}
    links |= {f"up{n}": "d/" * 2000 + "../" * 2000 + f"up{n + 1}" for n in range(500)}
    begun = time.monotonic()
    assert len(leaving(links)) > 500
    assert time.monotonic() - begun < 10

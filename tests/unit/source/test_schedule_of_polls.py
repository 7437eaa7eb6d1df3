"""Promise: remotes are polled at their interval, spread over a fleet, ever more slowly while they fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.source.watch import next_poll


def test_a_healthy_remote_is_polled_at_its_interval_within_a_tenth() -> None:
    assert 54.0 <= next_poll(60.0, 0, "db1 https://x") <= 66.0


def test_instances_are_spread_and_each_repeats_itself() -> None:
    delays = {round(next_poll(60.0, 0, f"db{number} https://x"), 3) for number in range(100)}
    assert len(delays) > 80
    assert next_poll(60.0, 3, "db1") == next_poll(60.0, 3, "db1")


@pytest.mark.parametrize(("failures", "middle"), [(1, 120), (2, 240), (3, 480), (4, 900), (40, 900), (10**9, 900)])
def test_each_failure_in_a_row_doubles_the_wait_up_to_a_quarter_of_an_hour(failures: int, middle: float) -> None:
    assert middle * 0.9 <= next_poll(60.0, failures, "db1") <= middle * 1.1


def test_a_long_interval_is_never_shortened_by_failures() -> None:
    assert next_poll(3600.0, 5, "db1") >= 3240.0


@given(st.floats(1.0, 86400.0), st.integers(0, 10**6), st.text(max_size=20))
def test_a_wait_is_positive_and_bounded(interval: float, failures: int, seed: str) -> None:
    assert 0.9 * interval <= next_poll(interval, failures, seed) <= 1.1 * max(interval, 900.0)

"""`pause --until` understands what people write, always means a later instant, and says what it cannot read."""

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.cli.pause import parse_until, target
from reconciler.model.errors import UsageError

NOW = datetime(2026, 11, 25, 8, 13, tzinfo=UTC)  # 09:13 in Berlin
BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2h", NOW + timedelta(hours=2)),
        ("1h30m", NOW + timedelta(hours=1, minutes=30)),
        ("3d", NOW + timedelta(days=3)),
        ("14:30", datetime(2026, 11, 25, 13, 30, tzinfo=UTC)),
        ("09:13", datetime(2026, 11, 26, 8, 13, tzinfo=UTC)),
        ("02:00", datetime(2026, 11, 26, 1, 0, tzinfo=UTC)),
        ("2026-11-26T12:00", datetime(2026, 11, 26, 11, 0, tzinfo=UTC)),
        ("2026-11-26T12:00Z", datetime(2026, 11, 26, 12, 0, tzinfo=UTC)),
        ("2026-11-26", datetime(2026, 11, 25, 23, 0, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_the_services_zone(text: str, until: datetime) -> None:
    assert parse_until(text, NOW, BERLIN) == until


@pytest.mark.parametrize(
    "text", ["yesterday", "25:00", "99:99", "2026-13-01", "-2h", "", "2020-01-01", "0s", "9999-12-31"]
)
def test_what_is_no_later_instant_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_until(text, NOW, BERLIN)


def test_one_job_or_all_of_them_must_be_named() -> None:
    assert target(argparse.Namespace(job="a/b", all=False)) == "a/b"
    assert target(argparse.Namespace(job=None, all=True)) == "*"
    for both in ({"job": "a", "all": True}, {"job": None, "all": False}):
        with pytest.raises(UsageError):
            target(argparse.Namespace(**both))

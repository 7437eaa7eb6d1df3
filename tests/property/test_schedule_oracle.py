"""Fires are those of Debian cron's own main loop, minute by minute, round the DST changes of many zones (T1, T2)."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.job import Schedule
from reconciler.schedule.cron import fires, latest_fires, normalise
from tests.unit.schedule.oracle import changes, debian

ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)
BEFORE, MINUTES = timedelta(hours=40), 80 * 60

ZONES = [
    ("Europe/Berlin", 2026), ("America/New_York", 2026), ("Australia/Lord_Howe", 2026), ("Pacific/Chatham", 2026),
    ("America/Sao_Paulo", 2018), ("Pacific/Apia", 2011), ("Antarctica/Troll", 2026), ("America/Nuuk", 2023),
    ("America/Nuuk", 2026), ("America/Santiago", 2026), ("Asia/Amman", 2021), ("Europe/Dublin", 2026),
    ("Africa/Casablanca", 2026), ("Africa/Cairo", 2026), ("America/Caracas", 2016), ("Asia/Pyongyang", 2018),
    ("Pacific/Kwajalein", 1993), ("America/Havana", 2026), ("Asia/Beirut", 2026), ("America/Asuncion", 2024),
]  # fmt: skip
PATTERNS = [
    "30 2 * * *", "0 2 * * *", "0 3 * * *", "59 1 * * *", "0 0 * * *", "30 0 * * *", "30 1 * * *", "15 1,2,3 * * *",
    "0,30 2 * * *", "*/15 2 * * *", "*/15 * * * *", "0 * * * *", "0 */2 * * *", "0 0-23 * * *", "45 1-3 * * *",
    "*/7 1-3 * * *", "30 23 * * *", "0 12 * * *", "30 2 * * sun", "30 2 25-31 * *", "30 2 25-31 * sun",
    "30 2 */2 * sun", "0 0 1 * *", "0 0 * 3,10 sun", "5-55/25 0-5/2 * * *", "* 2 * * *",
]  # fmt: skip


def schedule(text: str, zone: str, gap: str = "after", overlap: str = "once") -> Schedule:
    return Schedule(normalise(text)[0], text, zone, gap, overlap)


@pytest.mark.parametrize(("zone", "year"), ZONES, ids=[f"{zone} {year}" for zone, year in ZONES])
def test_T2_fires_round_each_change_are_those_of_debian_cron(zone: str, year: int) -> None:
    found = changes(zone, year)
    assert found, "the table names years in which the zone changes its offset"
    for change in found:
        start = change - BEFORE
        for text in PATTERNS:
            for gap, overlap in (("after", "once"), ("skip", "twice")):
                expected = debian(text, zone, start, MINUTES, gap, overlap)
                after, until = start - timedelta(seconds=1), start + timedelta(minutes=MINUTES, seconds=-1)
                one = schedule(text, zone, gap, overlap)
                assert fires(one, after, until, ANCHOR, 10_000) == expected, (text, change, gap, overlap)
                window = latest_fires(one, after, until, ANCHOR)
                ends = (expected[0], expected[-1]) if expected else (None, None)
                assert (window.first, window.last, window.count) == (*ends, len(expected)), (text, change)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
def test_T1_a_plain_month_is_that_of_debian_cron(zone: str) -> None:
    start = datetime(2027, 1, 20, tzinfo=UTC)
    for text in PATTERNS:
        expected = debian(text, zone, start, 30 * 1440)
        until = start + timedelta(days=30) - timedelta(seconds=1)
        assert fires(schedule(text, zone), start - timedelta(seconds=1), until, ANCHOR, 50_000) == expected, text

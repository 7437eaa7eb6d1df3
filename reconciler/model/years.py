"""The years in which a date or an instant that a person writes may lie: beyond them it is a slip of the pen, and too
near the calendar's ends to be reckoned with."""

from datetime import datetime

FIRST_YEAR, LAST_YEAR = 1970, 2199
OUTSIDE = f"is not within the years {FIRST_YEAR} to {LAST_YEAR}"


def plausible(at: datetime) -> bool:
    return FIRST_YEAR <= at.year <= LAST_YEAR

"""Globs of the service file: `*` and `?` stay within one part of `a/b/c`, `**` goes across. Linear, no brackets."""

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Stars that touch are one, so that matching never tries more than text x stars ways."""
    regex, at = "", 0
    while at < len(pattern):
        if pattern[at] == "*":
            end = at
            while end < len(pattern) and pattern[end] == "*":
                end += 1
            regex += "[^/]*" if end == at + 1 else ".*"
            at = end
        else:
            regex += "[^/]" if pattern[at] == "?" else re.escape(pattern[at])
            at += 1
    return re.compile(regex + r"\Z", re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).match(text) is not None


def matches_any(patterns: Iterable[str], text: str) -> bool:
    return any(matches(pattern, text) for pattern in patterns)

"""The records of `git diff-tree -r -z` -> the listing of the newer commit, where it edits files in place. Pure.

Anything else that a commit does (files that come or go, or turn into something else), and anything that does not fit
what is known of the older one, is not told here: then the newer one is listed as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..model.desired import Entry
from .listing import FILE_MODES, MAX_TOTAL, Record, check_file, too_large

MOST_EDITS = 1000


class Edit(NamedTuple):
    """One regular file with other contents. `was` and `now` are its records in the two listings."""

    was: bytes
    now: bytes
    blob: str


def parse_edits(raw: bytes) -> list[Edit] | None:
    """The edits; None if the commit does more than editing, or edits more than MOST_EDITS files."""
    pieces = raw.split(b"\0")
    pieces.pop()  # what follows the last NUL
    if len(pieces) % 2 or len(pieces) > 2 * MOST_EDITS:
        return None
    found = []
    for head, name in zip(pieces[::2], pieces[1::2], strict=True):
        words = head.removeprefix(b":").split(b" ")
        if len(words) != 5 or words[4] != b"M" or not {words[0], words[1]} <= {*FILE_MODES}:
            return None
        was, now = (b"%s blob %s\t%s" % (mode, blob, name) for mode, blob in (words[0:4:2], words[1:4:2]))
        found.append(Edit(was, now, words[3].decode("ascii")))
    return found


def edit_entries(
    entries: Sequence[Entry], known: Mapping[bytes, Record], edits: Sequence[Edit], sizes: Mapping[str, int]
) -> tuple[tuple[Entry, ...], dict[bytes, Record]] | None:
    """`entries` and their records as of the newer commit; `sizes` in bytes by blob id. None if an edited file is none
    of them, or may not be one any more. Raises SourceRejected `source-too-large`, as `parse_listing` does."""
    records = dict(known)
    newer: dict[str, Entry] = {}
    for edit in edits:
        old = records.pop(edit.was, None)
        size = sizes[edit.blob]
        if not isinstance(old, Entry) or check_file(old.path, old.full_path, size) is not None:
            return None
        records[edit.now] = newer[old.full_path] = replace(old, blob=edit.blob, size=size)
    found = tuple([newer.get(entry.full_path, entry) for entry in entries])
    placed = sum([was is not now for was, now in zip(entries, found, strict=True)])
    if not len(newer) == len(edits) == placed:  # a path that the tree names twice is no entry
        return None
    if sum([entry.size for entry in found]) > MAX_TOTAL:
        raise too_large(f"more than {MAX_TOTAL >> 20} MiB")
    return found, records

"""Names of other systems made to the rule for job names (lower-case letters, digits, - and _, at most 63)."""

import re
import unicodedata
from collections.abc import Iterable

from ..model.ids import NAME_PART

_OTHER = re.compile(r"[^a-z0-9_-]+")
LONGEST = 63


def job_name(text: str) -> str:
    """`Nightly Backup!` -> `nightly-backup`; "job" if nothing is left."""
    if NAME_PART.match(text):
        return text
    plain = unicodedata.normalize("NFKD", text[:256]).encode("ascii", "ignore").decode().lower()
    return _OTHER.sub("-", plain).strip("-_")[:LONGEST].rstrip("-_") or "job"


class Names:
    """Gives every job of one import a name of its own."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def take(self, wanted: str) -> str:
        """`wanted` as a job name; a second of one name gets `-2`, as a third `-3`."""
        name = base = job_name(wanted)
        number = 2
        while name in self._taken:
            tail = f"-{number}"
            name = base[: LONGEST - len(tail)] + tail
            number += 1
        self._taken.add(name)
        return name

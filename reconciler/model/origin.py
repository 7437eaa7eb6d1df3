"""Where a definition comes from: the commit it was applied with, and where in the repository it was written."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .desired import Commit
from .job import Location


@dataclass(frozen=True, slots=True)
class Origin:
    """Of the definition with this digest. `path` is the job's file; `places` has a Location by field name
    (`timeout`, `retries.limit`) for what some file says: what is not in it is a default."""

    digest: str
    commit: Commit
    path: str
    places: Mapping[str, Location] = field(default_factory=dict)

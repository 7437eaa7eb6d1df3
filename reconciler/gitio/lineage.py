"""Which commit descends from which, shown by the commits themselves: each is read whole and is what its id says.

git's own answer is a claim. It believes a commit-graph, a `shallow` file and whatever stands in an object's file, and
whoever may write to a local repository can forge all three. So it only tells us where to look.
"""

from collections import deque
from collections.abc import Mapping

from .objects import Objects, parents

BATCH = 1000  # commits that are read at once


def descends(objects: Objects, old: str, new: str) -> bool:
    """Is there a way from `new` to `old`, each commit naming the next as a parent? False if it cannot be shown.

    Raises SourceRejected (`source-corrupt` for an object that is not what its id says) and SourceUnavailable.
    """
    if not objects.is_ancestor(old, new):
        return False
    way = _way(objects.between(old, new), old, new) if old != new else []
    for at in range(0, len(way), BATCH):
        some = way[at : at + BATCH]
        found = objects.commits(some)
        nexts = [*way[at + 1 : at + BATCH + 1], old][: len(some)]
        if any(after not in parents(found[one]) for one, after in zip(some, nexts, strict=True)):
            return False
    return bool(way) or old == new


def check_line(objects: Objects, old: str, new: str, found: Mapping[str, bytes]) -> None:
    """Raise SourceRejected `source-corrupt` unless `found`, commit objects by id, are all that comes with `new` along
    the first parents as far as `old` does not have them, newest first."""
    wanted: str | None = new
    for one, raw in found.items():
        if one != wanted:
            break
        wanted = next(iter(parents(raw)), None)
    else:
        if wanted is None or wanted == old or descends(objects, wanted, old):
            return
    raise objects.changed(new, "commit", "what git tells of its parents is not what the commits say")


def _way(known: Mapping[str, tuple[str, ...]], old: str, new: str) -> list[str]:
    """A shortest way from `new` to the last before `old`; [] = none."""
    came: dict[str, str] = {new: ""}
    waiting = deque([new])
    while waiting:
        here = waiting.popleft()
        for parent in known.get(here, ()):
            if parent == old:
                return _back(came, here)
            if parent not in came:
                came[parent] = here
                waiting.append(parent)
    return []


def _back(came: Mapping[str, str], last: str) -> list[str]:
    way = []
    while last:
        way.append(last)
        last = came[last]
    return way[::-1]

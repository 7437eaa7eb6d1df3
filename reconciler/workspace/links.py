"""In: the symbolic links of a tree, as paths below its root. Out: those that lead out of it, if one follows them.

A link is followed as the kernel does, through other links too: `up/../..` leaves a tree in which `up` is a link to its
root, although the text alone does not look so.
"""

from collections.abc import Mapping

MOST_HOPS = 40  # the kernel's own bound


def leaving(links: Mapping[str, str]) -> frozenset[str]:
    """The links that end outside, go round in circles, or lead through one that does."""
    return frozenset(path for path in links if _leaves(links, path))


def _leaves(links: Mapping[str, str], path: str) -> bool:
    here: list[str] = []
    left = path.split("/")[::-1]  # the next part is the last one
    hops = 0
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                return True
            here.pop()
            continue
        target = links.get("/".join((*here, part)))
        if target is None:
            here.append(part)
            continue
        hops += 1
        if hops > MOST_HOPS or target.startswith("/"):
            return True
        left += target.split("/")[::-1]
    return False

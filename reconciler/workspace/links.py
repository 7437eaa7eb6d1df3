"""In: the symbolic links of a tree, as paths below its root. Out: those that lead out of it, if one follows them.

A link is followed as the kernel does, through other links too: `up/../..` leaves a tree in which `up` is a link to its
root, although the text alone does not look so. Whoever writes a repository chooses its links, so the work is bounded.
"""

from collections.abc import Mapping
from typing import TypeAlias

MOST_HOPS = 40  # the kernel's own bound
MOST_STEPS = 1_000_000  # parts of paths that are looked at, for all links of a tree: well below a second

_Node: TypeAlias = "dict[str, _Node | str]"  # a directory with links somewhere below; a link is its target


def leaving(links: Mapping[str, str], most_steps: int = MOST_STEPS) -> frozenset[str]:
    """The links that end outside, go round in circles, or lead through one that does; once `most_steps` are done, all
    that are left."""
    root = _nodes(links)
    bad, left = [], most_steps
    for path in links:
        left, leaves = _followed(root, path, left)
        if leaves:
            bad.append(path)
    return frozenset(bad)


def _nodes(links: Mapping[str, str]) -> _Node:
    """The links by the parts of their paths, so that each step is one look."""
    root: _Node = {}
    for path, target in links.items():
        *folders, name = path.split("/")
        node = root
        for part in folders:
            below = node.setdefault(part, {})
            if isinstance(below, str):
                break  # git has no file below a link
            node = below
        else:
            node[name] = target
    return root


def _followed(root: _Node, path: str, most: int) -> tuple[int, bool]:
    """(steps that are left, does it leave)."""
    here: list[_Node | None] = [root]  # the way down; None: no link is below
    parts = path.split("/")[::-1]  # the next part is the last one
    steps, hops = len(parts), 0
    while parts and steps <= most:
        part = parts.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here.pop()
            if not here:
                return most - steps, True
            continue
        node = here[-1]
        found = None if node is None else node.get(part)
        if not isinstance(found, str):
            here.append(found)
            continue
        hops += 1
        if hops > MOST_HOPS or found.startswith("/"):
            return most - steps, True
        parts += found.split("/")[::-1]
        steps += found.count("/") + 1
    return max(0, most - steps), steps > most

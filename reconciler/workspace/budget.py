"""What mirrors and exported trees may take of the disk: those that were not used for longest go first."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..model.errors import StateError
from .children import remove
from .mirrors import Mirrors
from .sizes import size_of
from .trees import Trees, read_tree

GONE = ".gone-"
UNUSED = 7 * 86400.0  # seconds after which a tree goes in any case: a new commit has most likely taken its place
MIRROR_UNUSED = 30 * 86400.0  # seconds after which a mirror goes: nobody names that repository any more


@dataclass(frozen=True, slots=True)
class _Kept:
    """`used`: when last. `unused` tells whether nobody is at work on it, and keeps them off meanwhile."""

    used: float
    size: int
    path: Path
    unused: Callable[[Path], AbstractContextManager[bool]]
    keep: float  # seconds that it may stay unused


def collect(mirrors: Mirrors, trees: Trees, budget: int, now: float | None = None, need: int = 0) -> int:
    """Remove until `budget` bytes are kept, and `need` bytes or more went; how many went. What is in use stays. Never
    raises for what is gone."""
    now = time.time() if now is None else now
    for left in (*trees.root.glob(f"*/{GONE}*"), *mirrors.root.glob(f"{GONE}*")):  # by one that was killed
        remove(left)
    found = [_tree(path, trees) for path in trees.root.glob("*/*")]
    found += [_mirror(path, mirrors) for path in mirrors.root.glob("*.git")]
    total, gone = sum(kept.size for kept in found), 0
    for kept in sorted(found, key=lambda kept: kept.used):
        if total - gone <= budget and gone >= need and kept.used >= now - kept.keep:
            continue
        away = kept.path.with_name(f"{GONE}{kept.path.name}")
        with kept.unused(kept.path) as free, suppress(OSError):
            if free:
                kept.path.rename(away)  # at once, so that nobody waits for the rest
                gone += kept.size
        remove(away)
    trees.sweep()
    for lock in mirrors.root.glob("*.lock"):
        mirror = lock.with_suffix(".git")
        if not mirror.exists():
            with mirrors.unused(mirror) as free, suppress(StateError):
                if free and not mirror.exists():
                    mirrors.forget(mirror)
    return gone


def _tree(path: Path, trees: Trees) -> _Kept:
    """One that is half made counts as never used: it goes, unless somebody is at work on it."""
    try:
        tree = read_tree(path)
        used = (path / "ready.json").stat().st_mtime
    except OSError:
        tree, used = None, 0.0
    return _Kept(used, size_of(path) if tree is None else tree.size, path, trees.unused, UNUSED)


def _mirror(path: Path, mirrors: Mirrors) -> _Kept:
    try:
        used = path.stat().st_mtime
    except OSError:
        used = 0.0
    return _Kept(used, size_of(path), path, mirrors.unused, MIRROR_UNUSED)

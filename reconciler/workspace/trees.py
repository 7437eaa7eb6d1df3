"""Exported trees: what a checkout of one commit looks like, made once by git and copied for each run.

trees/<mirror>/<commit>[-<subpath>][+modules]/tree/...      with a `.git` of its own unless it is a part
trees/<mirror>/<commit>[-<subpath>][+modules]/ready.json    it is whole: its size, links left out, submodules
"""

import contextlib
import hashlib
import json
import os
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..model.errors import SourceRejected
from .assembly import Assembly, Modules, Part, still_allowed
from .children import remove
from .mirrors import Mirrors, Origin

HALF = ".half-"


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole exported tree. `size` in bytes on the disk; `dropped`: links that led out of it, as paths in it; `parts`:
    its submodules."""

    path: Path
    size: int
    dropped: tuple[str, ...]
    parts: tuple[Part, ...] = ()


class Trees:
    """All trees, below `root`."""

    def __init__(self, root: Path, mirrors: Mirrors) -> None:
        self.root, self._mirrors = root, mirrors
        self._guard = threading.Lock()
        self._users: Counter[Path] = Counter()
        self._turns: dict[Path, threading.Lock] = {}
        self.grown = 0  # trees that were made; their number tells whether it is time to look at the budget

    @contextlib.contextmanager
    def using(
        self, origin: Origin, name: str, commit: str, subpath: str, modules: Modules | None = None
    ) -> Iterator[Tree]:
        """The tree of `commit`, made if it is not there; nobody removes it meanwhile. `modules`: with its submodules.
        Raises what git children raise; SourceRejected `ref-not-found` if the commit has no such `subpath`,
        `source-too-large`, `code-submodule`, `code-submodule-denied`; OSError."""
        place = self._place(origin, commit, subpath, whole=modules is not None)
        with self._held(place) as turn:
            tree = read_tree(place)
            if tree is None:
                with turn:
                    tree = read_tree(place) or self._made(place, origin, name, commit, subpath, modules)
            elif modules is not None:
                still_allowed(tree.parts, modules)
            self._use(origin, place)
            yield tree

    @contextlib.contextmanager
    def at_hand(self, origin: Origin, commit: str, subpath: str) -> Iterator[Tree | None]:
        """The tree of `commit`, without submodules, if it is there; nobody removes it meanwhile."""
        place = self._place(origin, commit, subpath, whole=False)
        with self._held(place):
            tree = read_tree(place)
            if tree is not None:
                self._use(origin, place)
            yield tree

    def _use(self, origin: Origin, place: Path) -> None:
        """Used now; its mirror, too, which the next commit will need."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._mirrors.place(origin))
        os.utime(place / "ready.json")

    @contextlib.contextmanager
    def unused(self, place: Path) -> Iterator[bool]:
        """True: nobody uses or makes that tree, nor will before this ends, which must be soon."""
        with self._guard:
            yield place.with_name(place.name.removeprefix(HALF)) not in self._users

    def sweep(self) -> None:
        """Directories that no tree is in any more."""
        with self._guard:
            used = {place.parent for place in self._users}
            for path in self.root.glob("*"):
                if path not in used:
                    with contextlib.suppress(OSError):
                        path.rmdir()

    @contextlib.contextmanager
    def _held(self, place: Path) -> Iterator[threading.Lock]:
        """Keeps the collector off. Who makes the tree waits for the lock."""
        with self._guard:
            self._users[place] += 1
            turn = self._turns.setdefault(place, threading.Lock())
        try:
            yield turn
        finally:
            with self._guard:
                self._users[place] -= 1
                if not self._users[place]:
                    del self._users[place], self._turns[place]

    def _place(self, origin: Origin, commit: str, subpath: str, *, whole: bool) -> Path:
        part = f"-{hashlib.sha256(subpath.encode()).hexdigest()[:12]}" if subpath else ""
        with_modules = "+modules" if whole else ""
        return self.root / hashlib.sha256(origin.key.encode()).hexdigest()[:20] / f"{commit}{part}{with_modules}"

    def _made(
        self, place: Path, origin: Origin, name: str, commit: str, subpath: str, modules: Modules | None
    ) -> Tree:  # fmt: skip
        half = place.with_name(f"{HALF}{place.name}")
        remove(half)
        half.mkdir(parents=True, mode=0o700)
        try:
            put = Assembly(self._mirrors, half, modules).put(origin, name, commit, subpath)
            size = _seal(half / "tree")
            said = {"size": size, "dropped": put.dropped, "parts": put.parts}
            (half / "ready.json").write_text(json.dumps(said), "utf-8")
            remove(half / "one")
            remove(place)
            half.rename(place)
            self.grown += 1
        except BaseException:
            remove(half)
            raise
        return Tree(place / "tree", size, put.dropped, put.parts)


def _seal(top: Path) -> int:
    """Modes as everybody's umask 022 would have them, no setuid bit, nothing but files, directories and links; the
    size in bytes."""
    size = 0
    for directory, _, files in os.walk(top):
        os.chmod(directory, 0o755)  # noqa: PTH101, S103 - many of them, and git knows no other mode
        for name in files:
            path = f"{directory}/{name}"
            found = os.lstat(path)
            size += found.st_blocks * 512
            if stat.S_ISREG(found.st_mode):
                mode = 0o755 if found.st_mode & 0o100 else 0o644
                os.chmod(path, mode)  # noqa: PTH101
            elif not stat.S_ISLNK(found.st_mode):
                raise SourceRejected(f"cannot check out {name}: it is neither file nor link", code="source-corrupt")
    return size


def read_tree(place: Path) -> Tree | None:
    """The tree at `place` if it is whole."""
    try:
        said = json.loads((place / "ready.json").read_bytes())
        parts = tuple(Part(*part) for part in said["parts"])
        return Tree(place / "tree", said["size"], tuple(said["dropped"]), parts)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None

"""A commit, and the submodules that it names, laid out as one tree: each from a mirror of its own, at the commit that
the one above says, with a `.git` directory of its own in its place.

git's own `submodule` is never run: it would act on what the repository says. `.gitmodules` is read as a blob, each
URL is put before the policy of the job's owner, and nothing is put through a link, as links are made when all else is
there.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ..model.errors import SourceRejected, SourceUnavailable, SubmoduleRejected
from ..spec.submodules import MOST, MOST_DEEP, Submodule, check, whole_url
from .children import remove
from .exports import Export, Laid, Room, quoted
from .links import leaving
from .mirrors import DAMAGED, Mirrors, Origin
from .sizes import size_of

MAX_ENTRIES = 200_000  # files of one checkout
LONGEST_LINK = 4096  # bytes


class Part(NamedTuple):
    """A submodule of a tree: its path in it, and what is there."""

    path: str
    url: str
    commit: str


@dataclass(frozen=True, slots=True)
class Modules:
    """What taking submodules needs. `reach`: a whole URL -> the repository as the job's owner reaches it,
    SourceRejected where policy does not list it. `ready` is called before each fetch, and before so many bytes are
    written: raises if there is no room or no time."""

    reach: Callable[[str], Origin]
    ready: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Whole:
    """`dropped`: links that would lead out of the tree."""

    dropped: tuple[str, ...]
    parts: tuple[Part, ...]


class Assembly:
    """Fills `half/tree`, once. Without `modules` a submodule stays an empty directory."""

    def __init__(self, mirrors: Mirrors, half: Path, modules: Modules | None) -> None:
        self._mirrors, self._half, self._modules = mirrors, half, modules
        self._top = half / "tree"
        self._links: list[str] = []
        self._older: list[Origin] = []  # whose mirrors were here before
        self._parts: list[Part] = []
        self._plain = False
        self._room = Room(0, 0)
        self._history = 0  # bytes that the objects of all mirrors, which are copied, may still take

    def put(self, origin: Origin, name: str, commit: str, subpath: str) -> Whole:
        """Raises what git children raise, OSError, SourceRejected (`code-submodule`, `code-submodule-denied`)."""
        try:
            return self._put(origin, name, commit, subpath)
        except _TooMuchHistory:
            if not self._older:
                raise
            for older in self._older:  # with what other commits need: once more, from nothing
                self._mirrors.wipe(older)
            remove(self._top)
            return self._put(origin, name, commit, subpath)

    def _put(self, origin: Origin, name: str, commit: str, subpath: str) -> Whole:
        self._plain, self._room, self._history = bool(subpath), Room(MAX_ENTRIES, origin.max_bytes), origin.max_bytes
        self._links, self._parts, self._older = [], [], []
        laid = self._laid(origin, name, commit, self._top, subpath)
        if self._modules is not None:
            self._below(self._modules, "", laid, origin, 1)
        return Whole(_make_links(self._top, self._links), tuple(self._parts))

    def _below(self, modules: Modules, prefix: str, above: Laid, base: Origin, deep: int) -> None:
        found = []
        for path, commit in sorted(above.gitlinks.items()):
            place = prefix + path
            with naming(place):
                if deep > MOST_DEEP or len(self._parts) == MOST:
                    raise SubmoduleRejected(f"more than {MOST} submodules, or more than {MOST_DEEP} within each other",
                                            hint="name what is needed in `repositories`")  # fmt: skip
                module = check(path, above.modules.get(path))
                url = whole_url(module.url, base.address)
                origin = modules.reach(url)
                modules.ready(0)
                _is_empty_directory(self._top, place)
                self._parts.append(Part(place, url, commit))
                laid = self._laid(origin, commit, commit, self._top / place)
            self._links += [f"{place}/{link}" for link in laid.links]
            found.append((module, url))
            self._below(modules, f"{place}/", laid, origin, deep + 1)
        if found and not self._plain:
            _tell(self._top / prefix / ".git/config", found)

    def _laid(self, origin: Origin, name: str, commit: str, place: Path, subpath: str = "") -> Laid:
        """The commit at `place`, which is an empty directory or nothing."""
        try:
            laid = self._exported(origin, name, commit, subpath)
        except SourceRejected as error:
            if error.code not in DAMAGED:
                raise
            self._mirrors.wipe(origin)  # perhaps the mirror is damaged: once more, from nothing
            laid = self._exported(origin, name, commit, subpath)
        self._room = laid.left
        (self._half / "one/tree").rename(place)
        if place == self._top:
            self._links += laid.links
        return laid

    def _exported(self, origin: Origin, name: str, commit: str, subpath: str) -> Laid:
        one = self._half / "one"
        remove(one)
        one.mkdir()
        if self._modules is None:
            with self._mirrors.holding(origin, name, commit) as mirror:
                return self._export(origin, mirror, commit, subpath)
        if self._mirrors.place(origin).exists():
            self._older.append(origin)
        with contextlib.ExitStack() as held:
            within = replace(origin, max_bytes=max(1, self._history))
            try:
                mirror = held.enter_context(self._mirrors.holding(within, name, commit))
            except SourceRejected as error:
                if error.code != "source-too-large":
                    raise
                raise _TooMuchHistory(str(error), code=error.code, hint=error.hint) from error
            size = size_of(mirror / "objects")
            if size > self._history:
                left = f"{self._history >> 20} MiB are left for it"
                raise _TooMuchHistory(f"cannot check out {origin.address}: its history takes {size >> 20} MiB, "
                                      f"and {left}", code="source-too-large")  # fmt: skip
            self._modules.ready(size)
            laid = self._export(origin, mirror, commit, subpath)
            self._history -= size
            return laid

    def _export(self, origin: Origin, mirror: Path, commit: str, subpath: str) -> Laid:
        export = Export(self._mirrors, origin, mirror, commit, subpath=subpath, plain=self._plain)
        return export.into(self._half / "one", self._room)


class _TooMuchHistory(SourceRejected):
    """The mirrors have more than may be copied. One that is here for longer may hold more than its commit needs."""


def still_allowed(parts: Sequence[Part], modules: Modules) -> None:
    """Policy may have changed since a tree was made. Raises SourceRejected."""
    for part in parts:
        with naming(part.path):
            modules.reach(part.url)


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """What goes wrong says of which submodule."""
    try:
        yield
    except (SourceRejected, SourceUnavailable) as error:
        raise type(error)(f"cannot take the submodule {path}: {error}", code=error.code, hint=error.hint) from error


def _is_empty_directory(top: Path, path: str) -> None:
    """As git has made it, for a submodule."""
    place = top
    for part in path.split("/"):
        place /= part
        if not place.is_dir() or place.is_symlink():
            raise SubmoduleRejected(f"{path} is no directory of its own")
    if any(place.iterdir()):
        raise SubmoduleRejected(f"{path} is not empty")


def _tell(config: Path, found: Sequence[tuple[Submodule, str]]) -> None:
    """git in the run shall know them as its own."""
    with config.open("a", encoding="utf-8") as file:
        for module, url in found:
            file.write(f'[submodule "{quoted(module.name)}"]\n\tactive = true\n\turl = "{quoted(url)}"\n')


def _make_links(top: Path, paths: list[str]) -> tuple[str, ...]:
    """git has put each link down as a file that holds its target. Those that lead out of `top` are left out; which."""
    targets = {}
    for path in paths:
        place = top / path
        if stat.S_ISREG(place.lstat().st_mode) and place.lstat().st_size <= LONGEST_LINK:
            targets[path] = os.fsdecode(place.read_bytes())
    bad = {path for path in paths if path not in targets or "\0" in targets[path] or not targets[path]}
    bad |= leaving({path: target for path, target in targets.items() if path not in bad})
    for path in paths:
        (top / path).unlink()
        if path not in bad:
            (top / path).symlink_to(targets[path])
    return tuple(sorted(bad))

"""Bare mirrors of the repositories that runs take code from: a reference -> its commit, a commit -> its objects here.

A mirror belongs to one owner and one URL: what one owner's key has brought is never shown to another's job. It holds
no truth and is made anew when it is damaged or gone.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..gitio.cache import Cache
from ..gitio.credentials import access_for
from ..gitio.fetch import fetch, tidy
from ..gitio.lookup import advertised
from ..gitio.objects import Objects
from ..gitio.profile import Access
from ..gitio.runner import GitRunner
from ..model.errors import SourceRejected, SourceUnavailable
from ..model.service import GitConfig
from ..spec.giturl import Address, Kind, parse_ref
from .sharing import Shared

_PACKED = (("fetch.unpackLimit", "1"),)  # a fetch leaves one pack, never thousands of files
_EVERYTHING = ("+refs/heads/*:refs/reconciler/heads/*", "+refs/tags/*:refs/reconciler/tags/*")
_HAVE = "reconciler-have"  # a directory in the mirror: an empty file for each commit that was seen to be there
MOST_KNOWN = 512  # references whose last commit is remembered
_NOT_THERE = ("ref-not-found",)
DAMAGED = ("object-missing", "source-not-found", "source-corrupt")  # codes that a broken mirror may be behind


@dataclass(frozen=True, slots=True)
class Origin:
    """A repository as one owner reaches it. `scope`: who that is; `max_bytes`: of one fetch; `depth`: as of the job,
    which has a mirror of its own for each."""

    address: Address
    git: GitConfig
    scope: str
    max_bytes: int
    depth: int = 0

    @property
    def key(self) -> str:
        return f"{self.scope}\n{self.address.text}" + (f"\n{self.depth}" if self.depth else "")

    def access(self) -> Access:
        """Read anew each time, so that a rotated token counts at once. Raises SourceRejected."""
        if self.address.kind is Kind.LOCAL:
            return Access(protocols=("file",))
        return access_for(self.address, self.git)


class Mirrors:
    """All mirrors, below `root`. Errors are those of git children: SourceUnavailable, SourceRejected, StateError."""

    def __init__(self, root: Path, runner: GitRunner) -> None:
        self.root, self.runner = root, runner
        self._guard = threading.Lock()
        self._asked = Shared[tuple[str, str]]()
        self._last: dict[tuple[Origin, str], tuple[str, str]] = {}
        self._turns: dict[Path, threading.Lock] = {}  # threads wait here, and not in the file's lock
        self._users: Counter[Path] = Counter()

    def close(self) -> None:
        """End all children; nothing more is fetched."""
        self.runner.cancel()

    def commit_of(self, origin: Origin, ref: str) -> tuple[str, str]:
        """The full name and the commit of `ref` on the server, by one child; a commit id stands for itself. Runs that
        ask at once share the child."""

        def look() -> tuple[str, str]:
            return advertised(self.runner, origin.address, parse_ref(ref), origin.access(), origin.git.timeout, None)

        found = self._asked.ask((origin, ref), look)
        with self._guard:
            self._last[origin, ref] = found
            if len(self._last) > MOST_KNOWN:
                del self._last[next(iter(self._last))]
        return found

    def last(self, origin: Origin, ref: str) -> tuple[str, str] | None:
        """What `commit_of` has found when it was asked last, by this process."""
        return self._last.get((origin, ref))

    @contextlib.contextmanager
    def holding(self, origin: Origin, name: str, commit: str) -> Iterator[Path]:
        """The mirror's directory, with `commit` and all before it in it, and nobody else at work on it. `name`: where
        the server has it. It is fetched unless it is here."""
        cache = self._cache(origin)
        with self._turn(origin), cache.locked(origin.git.timeout):
            cache.prepare(sha256=len(commit) == 64)
            place = Path(cache.git_dir)
            if not (place / _HAVE / commit).exists():
                self._bring(origin, place, name, commit)
                (place / _HAVE).mkdir(exist_ok=True)
                (place / _HAVE / commit).touch()
            os.utime(place)  # used now
            yield place

    def place(self, origin: Origin) -> Path:
        """Where its mirror is, or would be."""
        return Path(self._cache(origin).git_dir)

    def wipe(self, origin: Origin) -> None:
        """It was damaged: away with it."""
        cache = self._cache(origin)
        with self._turn(origin), cache.locked(origin.git.timeout):
            cache.wipe()

    @contextlib.contextmanager
    def unused(self, path: Path) -> Iterator[bool]:
        """True: nobody is at work on that mirror, nor will be before this ends."""
        with self._turn_of(path) as turn:
            if not turn.acquire(blocking=False):
                yield False
                return
            try:
                yield True
            finally:
                turn.release()

    def forget(self, path: Path) -> None:
        """Of a mirror that is gone, what lies beside it. Only while it is `unused`."""
        Cache.at(path).unlock_for_good()

    def objects(self, origin: Origin) -> Objects:
        return Objects(self.runner, self._cache(origin).git_dir, str(origin.address), origin.git.timeout)

    def _cache(self, origin: Origin) -> Cache:
        return Cache(str(self.root), origin.key)

    @contextlib.contextmanager
    def _turn(self, origin: Origin) -> Iterator[None]:
        with self._turn_of(Path(self._cache(origin).git_dir)) as turn, turn:
            yield

    @contextlib.contextmanager
    def _turn_of(self, path: Path) -> Iterator[threading.Lock]:
        """The lock of that mirror, which is kept for as long as somebody has it or waits for it."""
        with self._guard:
            turn = self._turns.setdefault(path, threading.Lock())
            self._users[path] += 1
        try:
            yield turn
        finally:
            with self._guard:
                self._users[path] -= 1
                if not self._users[path]:
                    del self._users[path], self._turns[path]

    def _bring(self, origin: Origin, place: Path, name: str, commit: str) -> None:
        """By its name, which every server gives; by its id, which most do; else everything."""
        access = origin.access()
        access = Access(access.protocols, access.ssh_command, (*access.config, *_PACKED), access.secret_config,
                        access.secrets)  # fmt: skip
        deadline = time.monotonic() + origin.git.timeout
        named = name == "HEAD" or name.startswith("refs/")
        asked = [[f"+{name}:refs/reconciler/named/{_short(name)}"]] if named else []
        asked += [[f"+{commit}:refs/reconciler/commits/{commit}"], list(_EVERYTHING)]
        doing = f"fetch {name or commit[:12]} of {origin.address}"
        for refspecs in asked:
            try:
                fetch(
                    self.runner, str(place), origin.address, refspecs, doing=doing, access=access, tags=True,
                    depth=origin.depth, timeout=max(1.0, deadline - time.monotonic()), max_file=origin.max_bytes,
                )  # fmt: skip
            except SourceUnavailable as error:
                raise _too_large(origin, place, doing) or error from error
            except SourceRejected as error:
                if error.code not in _NOT_THERE or refspecs == asked[-1]:
                    raise
            if self._has(origin, commit):
                tidy(self.runner, str(place), origin.git.timeout, origin.max_bytes)
                return
        raise SourceRejected(f"cannot {doing}: the server gives no {commit}", code="ref-not-found",
                             hint="it was perhaps removed by a forced push, or never pushed")  # fmt: skip

    def _has(self, origin: Origin, commit: str) -> bool:
        try:
            return self.objects(origin).commit(commit).id == commit
        except SourceRejected as error:
            if error.code in ("ref-not-found", *DAMAGED):
                return False
            raise


def _too_large(origin: Origin, place: Path, doing: str) -> SourceRejected | None:
    """git tells no reason when the kernel has ended its child at our bound; the half pack does. It goes."""
    halves = list((place / "objects/pack").glob("tmp_pack_*"))
    sizes = [half.stat().st_size for half in halves]
    for half in halves:
        half.unlink()
    if not any(size + 1024 > origin.max_bytes for size in sizes):
        return None
    return SourceRejected(f"cannot {doing}: it is more than {origin.max_bytes >> 20} MiB", code="source-too-large")


def _short(name: str) -> str:
    """Of a reference's name: with the names themselves, `a` would stand in the way of `a/b`."""
    return hashlib.sha256(name.encode()).hexdigest()[:20]

"""Exported trees: what a checkout of one commit looks like, made once by git and copied for each run.

    trees/<mirror>/<commit>[-<subpath>]/tree/...      with a `.git` of its own unless it is a part
    trees/<mirror>/<commit>[-<subpath>]/ready.json    it is whole: its size, and the links that were left out

git writes no symbolic link: it puts them down as files, and those that stay within the tree become links afterwards.
No filter, hook or attribute of the repository's can start anything, for our config names no program.
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

from ..gitio.failure import check
from ..model.errors import SourceRejected
from .children import copy, remove
from .links import leaving
from .mirrors import DAMAGED, Mirrors, Origin

MAX_ENTRIES = 200_000  # files of one checkout
MAX_LISTING = 64 << 20  # bytes of git's list of them
MAX_TAGS = 10_000
LONGEST_LINK = 4096  # bytes
HALF = ".half-"
_CONFIG = """[core]
\trepositoryformatversion = {version}
\tfilemode = true
\tbare = false
\tlogallrefupdates = true
\tcheckstat = minimal
\ttrustctime = false
[remote "origin"]
\turl = "{url}"
"""


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole exported tree. `size` in bytes on the disk; `dropped`: links that led out of it, as paths in it."""

    path: Path
    size: int
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    size: int
    path: str


class Trees:
    """All trees, below `root`."""

    def __init__(self, root: Path, mirrors: Mirrors) -> None:
        self.root, self._mirrors = root, mirrors
        self._guard = threading.Lock()
        self._users: Counter[Path] = Counter()
        self.grown = 0  # trees that were made; their number tells whether it is time to look at the budget

    @contextlib.contextmanager
    def using(self, origin: Origin, name: str, commit: str, subpath: str) -> Iterator[Tree]:
        """The tree of `commit`, made if it is not there; nobody removes it meanwhile. Raises what git children raise;
        SourceRejected `ref-not-found` if the commit has no such `subpath`, `source-too-large`; OSError."""
        place = self._place(origin, commit, subpath)
        with self._held(place):
            tree = read_tree(place)
            if tree is None:
                tree = self._made(place, origin, name, commit, subpath)
            os.utime(place / "ready.json")  # used now
            yield tree

    @contextlib.contextmanager
    def unused(self, place: Path) -> Iterator[bool]:
        """True: nobody uses or makes that tree, nor will before this ends, which must be soon."""
        with self._guard:
            yield place.with_name(place.name.removeprefix(HALF)) not in self._users

    @contextlib.contextmanager
    def _held(self, place: Path) -> Iterator[None]:
        with self._guard:
            self._users[place] += 1
        try:
            yield
        finally:
            with self._guard:
                self._users[place] -= 1
                if not self._users[place]:
                    del self._users[place]

    def _place(self, origin: Origin, commit: str, subpath: str) -> Path:
        part = f"-{hashlib.sha256(subpath.encode()).hexdigest()[:12]}" if subpath else ""
        return self.root / hashlib.sha256(origin.key.encode()).hexdigest()[:20] / f"{commit}{part}"

    def _made(self, place: Path, origin: Origin, name: str, commit: str, subpath: str) -> Tree:
        try:
            return self._exported(place, origin, name, commit, subpath)
        except SourceRejected as error:
            if error.code not in DAMAGED:
                raise
        self._mirrors.wipe(origin)  # perhaps the mirror is damaged: once more, from nothing
        return self._exported(place, origin, name, commit, subpath)

    def _exported(self, place: Path, origin: Origin, name: str, commit: str, subpath: str) -> Tree:
        with self._mirrors.holding(origin, name, commit) as mirror:
            known = read_tree(place)  # by another run, while this one waited for the mirror
            if known is not None:
                return known
            half = place.with_name(f"{HALF}{place.name}")
            remove(half)
            half.mkdir(parents=True, mode=0o700)
            try:
                dropped = _Export(self._mirrors, origin, mirror, commit, subpath).into(half)
                size = _seal(half / "tree")
                (half / "ready.json").write_text(json.dumps({"size": size, "dropped": dropped}), "utf-8")
                remove(place)
                half.rename(place)
                self.grown += 1
            except BaseException:
                remove(half)
                raise
        return Tree(place / "tree", size, dropped)


class _Export:
    """One commit of one mirror, whose lock is held, written to a directory."""

    def __init__(self, mirrors: Mirrors, origin: Origin, mirror: Path, commit: str, subpath: str) -> None:
        self._mirrors, self._origin, self._mirror = mirrors, origin, mirror
        self._commit, self._subpath = commit, subpath

    def into(self, half: Path) -> tuple[str, ...]:
        """Fill `half/tree`; the links that were left out."""
        entries = self._listing()
        work, git_dir = half / "work", half / "git"
        work.mkdir(mode=0o755)
        self._git_dir(git_dir)
        paths = ["--", self._subpath] if self._subpath else ["--detach"]
        command = ["checkout", "--quiet", "--force", "--no-recurse-submodules"]
        command += [self._commit, *paths] if self._subpath else [*paths, self._commit]
        self._git(command, git_dir, work)
        top = work / self._subpath if self._subpath else work
        prefix = f"{self._subpath}/" if self._subpath else ""
        dropped = _make_links(top, [entry.path.removeprefix(prefix) for entry in entries if entry.mode == "120000"])
        if self._subpath:
            remove(git_dir)
        else:
            remove(git_dir / "logs")  # says who the service is
            git_dir.rename(top / ".git")
        top.rename(half / "tree")
        remove(work)
        return dropped

    def _listing(self) -> list[_Entry]:
        """What git would write, within our bounds. A directory that is there twice, or a million times, counts each
        time, though it is one object."""
        only = [self._subpath + "/"] if self._subpath else []
        out = self._git(["ls-tree", "-r", "-l", "-z", "--full-tree", self._commit, "--", *only], self._mirror)
        entries = []
        for record in out.split(b"\0"):
            head, _, path = record.partition(b"\t")
            words = head.decode("ascii", "replace").split()
            if len(words) == 4 and words[1] == "blob":
                if not words[3].isdecimal():  # git knows its name, and has it not
                    raise SourceRejected(
                        f"cannot check out {self._commit[:12]} of {self._origin.address}: object {words[2]} is missing",
                        code="object-missing", hint="`git fsck --full` in the repository names the object",
                    )  # fmt: skip
                entries.append(_Entry(words[0], int(words[3]), os.fsdecode(path)))
        if self._subpath and not entries:
            raise SourceRejected(
                f"cannot check out {self._subpath} of {self._origin.address}: no such directory in {self._commit[:12]}",
                code="ref-not-found", hint="check `subpath`",
            )  # fmt: skip
        total = sum(entry.size for entry in entries)
        if len(entries) > MAX_ENTRIES or total > self._origin.max_bytes:
            raise SourceRejected(
                f"cannot check out {self._origin.address}: {len(entries)} files of {total >> 20} MiB in all",
                code="source-too-large",
                hint="`limits.repository_bytes` of the service file, or `subpath` in the job file",
            )
        return entries

    def _git_dir(self, git_dir: Path) -> None:
        """A repository with the mirror's objects and the tags before the commit; without hooks, references of ours,
        credentials and anything that the remote has chosen but those."""
        git_dir.mkdir(mode=0o755)
        copy(self._mirror / "objects", git_dir / "objects", None)
        for name in ("refs/heads", "refs/tags", "objects/pack", "objects/info"):
            (git_dir / name).mkdir(parents=True, exist_ok=True)
        sha256 = len(self._commit) == 64
        text = _CONFIG.format(version=int(sha256), url=_quoted(str(self._origin.address)))
        (git_dir / "config").write_text(text + ("[extensions]\n\tobjectformat = sha256\n" if sha256 else ""), "utf-8")
        (git_dir / "HEAD").write_text(f"{self._commit}\n", "ascii")
        if (self._mirror / "shallow").exists():
            (git_dir / "shallow").write_bytes((self._mirror / "shallow").read_bytes())
        (git_dir / "packed-refs").write_bytes(self._tags())

    def _tags(self) -> bytes:
        out = self._git(
            ["for-each-ref", f"--count={MAX_TAGS}", f"--merged={self._commit}", "--format=%(objectname) %(refname)",
             "refs/tags"],
            self._mirror,
        )  # fmt: skip
        return b"# pack-refs with: sorted \n" + out

    def _git(self, command: list[str], git_dir: Path, work: Path | None = None) -> bytes:
        done = self._mirrors.runner.run(
            command, git_dir=str(git_dir), work_tree=None if work is None else str(work),
            timeout=self._origin.git.timeout, max_output=MAX_LISTING, max_file=self._origin.max_bytes,
        )  # fmt: skip
        return check(done, f"check out {self._commit[:12]} of {self._origin.address}")


def _quoted(text: str) -> str:
    """For git's config, between quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


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
        return Tree(place / "tree", said["size"], tuple(said["dropped"]))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None

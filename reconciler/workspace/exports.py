"""One commit of one mirror, whose lock is held, written to a directory by git: files, `.git`, and what is yet to be
done: symbolic links, which git puts down as files, and submodules, of which it makes empty directories.

No filter, hook or attribute of the repository's can start anything, for our config names no program.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..gitio.failure import check
from ..gitio.runner import Finished
from ..model.errors import SourceRejected, SubmoduleRejected
from ..spec.submodules import LARGEST_FILE, Submodule, sections
from .children import copy, remove
from .mirrors import Mirrors, Origin

MAX_LISTING = 64 << 20  # bytes of git's list of files
MAX_TAGS = 10_000
MODULES = ".gitmodules"
_NO_CONFIG = ("bad config", "error processing config")  # git's own words, LC_ALL=C.UTF-8
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
class Room:
    """How much one checkout may still take."""

    entries: int
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Laid:
    """What was put down. `links`: files that hold a target; `gitlinks`: commits of other repositories, both by their
    paths in it; `modules`: what `.gitmodules` says of these; `left`: of the room that there was."""

    links: tuple[str, ...]
    gitlinks: Mapping[str, str]
    modules: Mapping[str, Submodule]
    left: Room


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    kind: str
    id: str
    size: int
    path: str


class Export:
    """`subpath`: the part that is wanted, "" = all; `plain`: without `.git`."""

    def __init__(
        self, mirrors: Mirrors, origin: Origin, mirror: Path, commit: str, *, subpath: str = "", plain: bool = False
    ) -> None:
        self._mirrors, self._origin, self._mirror = mirrors, origin, mirror
        self._commit, self._subpath, self._plain = commit, subpath, plain or bool(subpath)

    def into(self, half: Path, room: Room) -> Laid:
        """Fill `half/tree`, which is made."""
        found = self._listing(room)
        work, git_dir = half / "work", half / "git"
        work.mkdir(mode=0o755)
        self._git_dir(git_dir)
        paths = ["--", self._subpath] if self._subpath else ["--detach"]
        command = ["checkout", "--quiet", "--force", "--no-recurse-submodules"]
        command += [self._commit, *paths] if self._subpath else [*paths, self._commit]
        self._git(command, git_dir, work)
        top = work / self._subpath if self._subpath else work
        if self._plain:
            remove(git_dir)
        else:
            remove(git_dir / "logs")  # says who the service is
            git_dir.rename(top / ".git")
        top.rename(half / "tree")
        remove(work)
        return found

    def _listing(self, room: Room) -> Laid:
        """What git would write, within our bounds. A directory that is there twice, or a million times, counts each
        time, though it is one object."""
        prefix = f"{self._subpath}/" if self._subpath else ""
        entries = [entry for entry in self._listed(prefix) if entry.path.startswith(prefix)]
        files = [entry for entry in entries if entry.kind == "blob"]
        if self._subpath and not entries:
            raise SourceRejected(
                f"cannot check out {self._subpath} of {self._origin.address}: no such directory in {self._commit[:12]}",
                code="ref-not-found", hint="check `subpath`",
            )  # fmt: skip
        left = Room(room.entries - len(entries), room.size - sum(entry.size for entry in files))
        if min(left.entries, left.size) < 0:
            raise SourceRejected(
                f"cannot check out {self._origin.address}: {len(entries)} files of {room.size - left.size >> 20} MiB",
                code="source-too-large",
                hint="`limits.repository_bytes` of the service file, or `subpath` in the job file",
            )
        gitlinks = {entry.path.removeprefix(prefix): entry.id for entry in entries if entry.mode == "160000"}
        links = tuple(entry.path.removeprefix(prefix) for entry in files if entry.mode == "120000")
        known = self._modules() if gitlinks else {}
        return Laid(links, gitlinks, {path: known[prefix + path] for path in gitlinks if prefix + path in known}, left)

    def _listed(self, path: str) -> list[_Entry]:
        only = [path] if path else []
        out = self._git(["ls-tree", "-r", "-l", "-z", "--full-tree", self._commit, "--", *only], self._mirror)
        entries = []
        for record in out.split(b"\0"):
            head, _, name = record.partition(b"\t")
            words = head.decode("ascii", "replace").split()
            if len(words) != 4 or words[1] not in ("blob", "commit"):
                continue
            if words[1] == "blob" and not words[3].isdecimal():  # git knows its name, and has it not
                raise SourceRejected(
                    f"cannot check out {self._commit[:12]} of {self._origin.address}: object {words[2]} is missing",
                    code="object-missing", hint="`git fsck --full` in the repository names the object",
                )  # fmt: skip
            size = int(words[3]) if words[1] == "blob" else 0
            entries.append(_Entry(words[0], words[1], words[2], size, os.fsdecode(name)))
        return entries

    def _modules(self) -> dict[str, Submodule]:
        """A link or a file beyond all measure is none: it is as if there were no `.gitmodules`. Raises
        SubmoduleRejected for one that git cannot read."""
        for entry in self._listed(MODULES):
            if entry.path == MODULES and entry.mode != "120000" and entry.size <= LARGEST_FILE:
                command = ["config", "--blob", entry.id, "--no-includes", "--list", "-z"]
                done = self._run(command, self._mirror)
                if done.status and any(words in done.stderr for words in _NO_CONFIG):
                    raise SubmoduleRejected(
                        f"cannot check out {self._commit[:12]} of {self._origin.address}: its {MODULES} is damaged",
                        hint=f"git config --file {MODULES} --list names the line",
                    )
                return sections(check(done, self._doing()))
        return {}

    def _git_dir(self, git_dir: Path) -> None:
        """A repository with the mirror's objects and the tags before the commit; without hooks, references of ours,
        credentials and anything that the remote has chosen but those."""
        git_dir.mkdir(mode=0o755)
        copy(self._mirror / "objects", git_dir / "objects", None)
        for name in ("refs/heads", "refs/tags", "objects/pack", "objects/info"):
            (git_dir / name).mkdir(parents=True, exist_ok=True)
        sha256 = len(self._commit) == 64
        text = _CONFIG.format(version=int(sha256), url=quoted(str(self._origin.address)))
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
        return check(self._run(command, git_dir, work), self._doing())

    def _run(self, command: list[str], git_dir: Path, work: Path | None = None) -> Finished:
        return self._mirrors.runner.run(
            command, git_dir=str(git_dir), work_tree=None if work is None else str(work),
            timeout=self._origin.git.timeout, max_output=MAX_LISTING, max_file=self._origin.max_bytes,
        )  # fmt: skip

    def _doing(self) -> str:
        return f"check out {self._commit[:12]} of {self._origin.address}"


def quoted(text: str) -> str:
    """For git's config, between quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')

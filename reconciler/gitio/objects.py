"""Reading a repository's objects by short-lived git children: ids in; commits, listings and blobs out."""

import hashlib
from collections.abc import Sequence
from itertools import takewhile

from ..model.desired import Commit
from ..model.errors import SourceRejected
from ..spec.giturl import is_commit_id
from .failure import check, failed
from .runner import GitRunner

MAX_COMMIT = 1 << 20  # bytes of one commit object; git sets no bound to a message
MAX_READ = 64 << 20  # bytes of all blobs of one call
SHA1_DIGITS = 40
_HEADER = 128  # bytes that cat-file adds to each object, at most


class Objects:
    """One repository's objects. `timeout` in seconds bounds each child."""

    def __init__(self, runner: GitRunner, git_dir: str, name: str, timeout: float) -> None:
        self._runner, self._git_dir, self._name, self._timeout = runner, git_dir, name, timeout
        self._parents: tuple[str, tuple[str, ...]] = ("", ())  # of the commit that was read last

    def commit(self, revision: str) -> Commit:
        """The commit that `revision` (a full name or an id, tags are peeled) stands for.

        Raises SourceRejected `ref-not-found` if there is none, `object-missing` if it cannot be read.
        """
        out = self._cat([revision + "^{commit}"], MAX_COMMIT)
        header, _, body = out.partition(b"\n")
        words = header.decode("utf-8", "replace").split(" ")
        if len(words) != 3 or words[1] != "commit" or not is_commit_id(words[0]):
            raise SourceRejected(
                f"cannot find {revision} in {self._name}: no such commit", code="ref-not-found",
                hint="check `source.ref`: a branch, a tag or a full commit id that exists there",
            )  # fmt: skip
        self._parents = (words[0], parents(body))
        return _parse_commit(words[0], body)

    def listing(self, commit: str, paths: Sequence[str]) -> bytes:
        """`ls-tree -r -z` of the commit at `paths` (none = all of it): NUL-separated records."""
        done = self._runner.run(
            ["ls-tree", "-r", "-z", "--full-tree", commit, "--", *paths],
            git_dir=self._git_dir, timeout=self._timeout,
        )  # fmt: skip
        return check(done, f"list commit {commit[:12]} of {self._name}")

    def changes(self, old: str, new: str, paths: Sequence[str]) -> bytes | None:
        """`diff-tree -r -z` between two commits at `paths`: NUL-separated; None if git cannot tell, as it
        no longer has the old one."""
        done = self._runner.run(
            ["diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=none",
             "--end-of-options", old, new, "--", *paths],
            git_dir=self._git_dir, timeout=self._timeout,
        )  # fmt: skip
        return done.stdout if done.status == 0 else None

    def sizes(self, ids: Sequence[str]) -> dict[str, int]:
        """Sizes in bytes by id; no content is inflated. Raises SourceRejected `object-missing`."""
        if not ids:
            return {}
        out = self._cat(ids, _HEADER * len(ids), "--batch-check=%(objectname) %(objectsize)")
        sizes = {}
        for line in out.decode("ascii", "replace").splitlines():
            blob, _, size = line.partition(" ")
            if not size.isdigit():
                raise self._missing(blob)
            sizes[blob] = int(size)
        return sizes

    def blobs(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Contents by blob id, in one child. Raises SourceRejected `object-missing`, `source-too-large`,
        `source-corrupt`."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        illegal = next((blob for blob in wanted if not is_commit_id(blob)), None)
        if illegal is not None:
            raise ValueError(f"not a blob id: {illegal!r}")
        out = self._cat(wanted, MAX_READ + _HEADER * len(wanted))
        return self._parse(out, wanted, b"blob")

    def commits(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Commit objects as they are, by id, in one child. Raises SourceRejected `object-missing`, `source-too-large`,
        `source-corrupt`."""
        return self._parse(self._cat(ids, MAX_READ + _HEADER * len(ids)), ids, b"commit")

    def check_trees(self, commit: str, raw: bytes, paths: Sequence[str]) -> None:
        """Are the trees of a commit that lead to `paths` and lie below them (none = all) what their ids say? git does
        not look when it lists them. `raw`: the commit's object. Raises as `commits`."""
        done = self._runner.run(
            ["ls-tree", "-d", "-r", "-t", "-z", "--full-tree", commit, "--", *paths],
            git_dir=self._git_dir, timeout=self._timeout,
        )  # fmt: skip
        listed = check(done, f"list commit {commit[:12]} of {self._name}").decode("utf-8", "replace").split("\0")
        trees = {words[2] for record in listed if (words := record.partition("\t")[0].split(" "))[1:2] == ["tree"]}
        ids = [raw.partition(b"\n")[0].decode("ascii", "replace").removeprefix("tree "), *sorted(trees)]
        self._parse(self._cat(ids, MAX_READ + _HEADER * len(ids)), ids, b"tree")

    def first_parents(self, old: str, new: str, most: int) -> list[str]:
        """The commits from `new` on along the first parents, newest first, as far as `old` does not have them; `most`
        of them. As git tells it: see `lineage`."""
        done = self._runner.run(
            ["rev-list", "--first-parent", f"--max-count={most}", "--end-of-options", new, f"^{old}"],
            git_dir=self._git_dir, timeout=self._timeout,
        )  # fmt: skip
        return check(done, f"list what lies between {old[:12]} and {new[:12]} in {self._name}").decode("ascii").split()

    def is_ancestor(self, old: str, new: str) -> bool:
        """True if `new` descends from `old`. False too if the repository no longer has `old`, unless `new` names it as
        its parent. As git tells it: see `lineage`."""
        if new == self._parents[0] and old in self._parents[1]:
            return True
        done = self._runner.run(
            ["merge-base", "--is-ancestor", "--end-of-options", old, new],
            git_dir=self._git_dir, timeout=self._timeout,
        )  # fmt: skip
        if done.status in (0, 1):
            return done.status == 0
        if "not a valid commit name" in done.stderr.lower():
            return False
        raise failed(done, f"compare {new[:12]} with the applied {old[:12]} in {self._name}")

    def between(self, old: str, new: str) -> dict[str, tuple[str, ...]]:
        """Parents by commit id, as git tells them, of all that lies on a way from `new` to `old`, `old` left out."""
        if new == self._parents[0] and old in self._parents[1]:
            return {new: self._parents[1]}
        done = self._runner.run(
            ["rev-list", "--parents", "--ancestry-path", "--end-of-options", new, f"^{old}"],
            git_dir=self._git_dir, timeout=self._timeout,
        )  # fmt: skip
        out = check(done, f"list what lies between {old[:12]} and {new[:12]} in {self._name}").decode("ascii")
        return {words[0]: tuple(words[1:]) for line in out.splitlines() if (words := line.split())}

    def changed(self, name: str, kind: str, why: str = "its object holds something else") -> SourceRejected:
        """The error for an object that is not what it should be."""
        return SourceRejected(
            f"cannot use {kind} {name[:12]} of {self._name}: {why}", code="source-corrupt",
            hint="`git fsck --full` in the repository names the object",
        )  # fmt: skip

    def _cat(self, names: Sequence[str], max_output: int, mode: str = "--batch") -> bytes:
        done = self._runner.run(
            ["cat-file", mode], git_dir=self._git_dir, stdin="".join(f"{n}\n" for n in names).encode(),
            timeout=self._timeout, max_output=max_output,
        )  # fmt: skip
        return check(done, f"read objects of {self._name}")

    def _parse(self, out: bytes, wanted: Sequence[str], kind: bytes) -> dict[str, bytes]:
        """The objects, each of which is what its id says: who may write to the files of a local repository could have
        put other bytes there, and git does not look when it hands them out."""
        found: dict[str, bytes] = {}
        at = 0
        for name in wanted:
            end = out.find(b"\n", at)
            words = out[at:end].split(b" ")
            if end < 0 or len(words) != 3 or words[1] != kind:
                raise self._missing(name, kind.decode("ascii"))
            start, size = end + 1, int(words[2])
            found[name] = out[start : start + size]
            if _id(kind, found[name], len(name)) != name:
                raise self.changed(name, kind.decode("ascii"))
            at = start + size + 1
        return found

    def _missing(self, blob: str, kind: str = "blob") -> SourceRejected:
        return SourceRejected(
            f"cannot read {kind} {blob[:12]} of {self._name}: the repository does not have it", code="object-missing",
            hint="`git fsck --full` in the repository names the object",
        )  # fmt: skip


def parents(raw: bytes) -> tuple[str, ...]:
    """Of a commit object. They follow its tree; a line of that form anywhere else is none to git either."""
    lines = iter(raw.split(b"\n")[1:])
    return tuple(
        line[len(b"parent ") :].decode("ascii", "replace")
        for line in takewhile(lambda line: line.startswith(b"parent "), lines)
    )


def _id(kind: bytes, data: bytes, digits: int) -> str:
    made = hashlib.sha1 if digits == SHA1_DIGITS else hashlib.sha256
    digest = made(b"%s %d\0" % (kind, len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def _parse_commit(commit: str, body: bytes) -> Commit:
    """Author, author time and subject of a raw commit object."""
    head, _, message = body.partition(b"\n\n")
    author, at = "", 0.0
    for line in head.split(b"\n"):
        if line.startswith(b"author "):
            author, at = _parse_person(line[len(b"author ") :].decode("utf-8", "replace"))
            break
    paragraph = message.lstrip(b"\n").split(b"\n\n", 1)[0]
    return Commit(commit, author, at, _one_line(paragraph.decode("utf-8", "replace")))


def _parse_person(text: str) -> tuple[str, float]:
    """`Anna Roth <a@x> 1700000000 +0100` -> name and seconds since the epoch."""
    name, _, rest = text.partition("<")
    stamp = rest.rpartition(">")[2].split()
    known = bool(stamp) and stamp[0].isascii() and stamp[0].isdigit() and len(stamp[0]) < 12
    return _one_line(name), float(stamp[0]) if known else 0.0


def _one_line(text: str) -> str:
    """At most 200 printable characters; authors write these, terminals obey some of them."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))[:200]

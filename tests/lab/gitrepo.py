"""Real repositories for tests: a directory in, commits out. A user's own git configuration has no say."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "Anna Roth", "GIT_AUTHOR_EMAIL": "anna@example.org",
    "GIT_COMMITTER_NAME": "Anna Roth", "GIT_COMMITTER_EMAIL": "anna@example.org", "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
}  # fmt: skip


def git(where: Path, *args: str, stdin: bytes = b"", **extra: str) -> str:
    """stdout of a git command run in `where`, stripped. Raises AssertionError with git's words."""
    done = subprocess.run(
        ["git", *args], cwd=where, env={**ENVIRONMENT, **extra}, input=stdin, capture_output=True, timeout=60
    )
    assert done.returncode == 0, f"git {args}: {done.stderr.decode()}"
    return done.stdout.decode("utf-8", "surrogateescape").strip()


class GitRepo:
    """A work repository on branch main."""

    def __init__(self, path: Path, *, bare: bool = False) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        git(path, "init", "-q", "-b", "main", *(["--bare"] if bare else []))

    def git(self, *args: str, stdin: bytes = b"", **extra: str) -> str:
        return git(self.path, *args, stdin=stdin, **extra)

    def commit(self, files: Mapping[str, str | bytes | None], message: str = "a change") -> str:
        """Write (None: delete) files in the work tree and commit them; the commit id."""
        for name, content in files.items():
            target = self.path / name
            if content is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head()

    def head(self, name: str = "HEAD") -> str:
        return self.git("rev-parse", f"{name}^{{commit}}")

    def bare_clone(self, path: Path) -> Path:
        """A bare copy, with this repository's `origin` pointing at it."""
        git(self.path, "clone", "-q", "--bare", str(self.path), str(path))
        git(self.path, "remote", "add", "origin", str(path))
        return path

    def push(self, *args: str) -> None:
        self.git("push", "-q", "origin", *(args or ("main",)))

    def blob(self, data: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=data)

    def tree(self, *entries: tuple[str, str, str]) -> str:
        """The id of a tree of (mode, name, id), written as given: nothing is checked or sorted."""
        raw = b"".join(
            f"{mode} ".encode() + name.encode("utf-8", "surrogateescape") + b"\0" + bytes.fromhex(oid)
            for mode, name, oid in entries
        )
        return self.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=raw)

    def commit_tree(self, tree: str, branch: str = "main") -> str:
        commit = self.git("commit-tree", tree, "-m", "made by hand")
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

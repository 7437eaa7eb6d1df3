"""SSH keys and signed commits for tests, made by ssh-keygen and git as people make them."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.lab.gitrepo import GitRepo, git


class SshKey(NamedTuple):
    """`path` of the private key; `public` is one line with a comment."""

    path: Path
    public: str

    @property
    def fingerprint(self) -> str:
        done = subprocess.run(["ssh-keygen", "-lf", f"{self.path}.pub"], capture_output=True, text=True, check=True)
        return done.stdout.split()[1]

    @property
    def signing(self) -> tuple[str, ...]:
        """Options of git that make it sign with this key."""
        return ("-c", "gpg.format=ssh", "-c", f"user.signingKey={self.path}")

    def signature(self, data: bytes, namespace: str) -> str:
        """The armored signature."""
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.path), "-n", namespace]
        return subprocess.run(argv, input=data, capture_output=True, check=True).stdout.decode()


def ssh_key(path: Path, *options: str) -> SshKey:
    """A new key without a passphrase; `options` choose the type, ed25519 unless they do."""
    argv = ["ssh-keygen", "-q", *(options or ("-t", "ed25519")), "-N", "", "-C", f"{path.name}@laptop", "-f", str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return SshKey(path, Path(f"{path}.pub").read_text().strip())


def commit_signed(repo: GitRepo, files: Mapping[str, str | bytes | None], key: SshKey, message: str = "signed") -> str:
    """As `GitRepo.commit`, signed; the commit id."""
    repo.commit(files, message)
    repo.git(*key.signing, "commit", "-q", "--amend", "-S", "--no-edit", "--allow-empty")
    return repo.head()


def with_signature(repo: GitRepo, commit: str, armored: str, *, header: str = "gpgsig") -> str:
    """A new commit, the tip of main: `commit` with this signature in its header, fitting or not."""
    raw = subprocess.run(["git", "cat-file", "commit", commit], cwd=repo.path, capture_output=True, check=True).stdout
    head, gap, message = raw.partition(b"\n\n")
    lines = armored.strip().replace("\n", "\n ").encode()
    made = git(
        repo.path, "hash-object", "-t", "commit", "-w", "--stdin",
        stdin=head + b"\n" + header.encode() + b" " + lines + gap + message,
    )  # fmt: skip
    repo.git("reset", "-q", "--hard", made)
    return made

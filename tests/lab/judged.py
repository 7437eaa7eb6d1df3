"""Repositories whose commits must be signed: a path and people in; what is seen of it, and why it is refused, out."""

from pathlib import Path

import pytest

from reconciler.model.desired import Snapshot
from reconciler.model.errors import SourceRejected
from reconciler.model.service import GitConfig, Person, SourceConfig
from reconciler.source.base import Source, trusted
from reconciler.source.open import open_source
from reconciler.spec.sshkeys import parse_key
from tests.lab.gitrepo import GitRepo
from tests.lab.signing import SshKey


def person(name: str, *keys: SshKey) -> Person:
    return Person(name, signing_key=tuple(parse_key(key.public).line for key in keys))


def opened(url: Path | str, *people: Person, demand: str = "head", cache: Path | None = None) -> Source:
    config = SourceConfig(str(url), "main", require_signed=demand)
    return open_source(config, GitConfig(timeout=20.0), str(cache or ""), people)


def refusal(snapshot: Snapshot) -> tuple[str, str]:
    """(code, message) of what keeps it from being applied."""
    with pytest.raises(SourceRejected) as caught:
        trusted(snapshot)
    assert caught.value.hint
    return caught.value.code, str(caught.value)


def seen(repo: GitRepo, *people: Person, demand: str = "head", applied: str | None = None) -> Snapshot:
    return opened(repo.path, *people, demand=demand).snapshot(applied)


def put(repo: GitRepo, target: str, source: str) -> None:
    """Have the file of one object hold another, as somebody can who may write to a local repository's files."""
    objects = repo.path / ".git/objects"
    (objects / target[:2] / target[2:]).unlink()
    (objects / target[:2] / target[2:]).write_bytes((objects / source[:2] / source[2:]).read_bytes())

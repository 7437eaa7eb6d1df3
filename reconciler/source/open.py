"""The configured source -> an open `Source`: a local repository, a remote one, or a plain directory."""

from collections.abc import Sequence
from pathlib import Path

from ..model.errors import SourceRejected
from ..model.service import GitConfig, Person, SourceConfig
from ..spec.giturl import Address, Kind, parse_ref, parse_url
from .base import Source
from .directory import Directory
from .git import is_repository
from .listing import normal_paths


def discover(url: str) -> Address:
    """What `url` is: as `parse_url`, except that a path that is a plain directory gives Kind.DIRECTORY.

    Raises SourceRejected. Touches no network and starts no child.
    """
    address = parse_url(url)
    if address.remote:
        return address
    path = str(Path(address.path).absolute())
    kind = address.kind
    if kind is Kind.LOCAL and Path(path).is_dir() and not is_repository(path):
        kind = Kind.DIRECTORY
    return Address(kind, path, path)


def open_source(config: SourceConfig, git: GitConfig, cache_dir: str, people: Sequence[Person] = ()) -> Source:
    """Open what `config` names. Remote repositories keep their objects below `cache_dir`; nothing is fetched yet. One
    of `people` must have signed what `config.require_signed` says.

    A plain directory must be asked for (`dir:PATH`): a service whose repository has lost its `.git` must not take
    the files of the moment for a revision. Raises SourceRejected, SourceUnavailable.
    """
    address, roots = parse_url(config.url), normal_paths(config.paths)
    if address.kind is Kind.DIRECTORY:
        if config.require_signed != "none":
            raise SourceRejected(
                f"cannot use the files of {address.path}: they bear no signatures, and commits must be signed",
                code="commit-unsigned", hint="name the repository itself as `source.url`",
            )  # fmt: skip
        return Directory(str(Path(address.path).absolute()), roots)
    from .signatures import judges

    ref, signatures = parse_ref(config.ref), judges(config.require_signed, people, roots, git.timeout)
    if address.kind is Kind.LOCAL:
        from .local import LocalGit

        return LocalGit(str(Path(address.path).absolute()), ref, roots, git.timeout, signatures)
    if not cache_dir:
        raise SourceRejected(f"cannot open {address}: no directory for its objects", code="source-no-cache")
    from .remote import RemoteGit

    return RemoteGit(address, ref, roots, git, cache_dir, signatures)

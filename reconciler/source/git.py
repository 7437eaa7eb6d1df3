"""A path -> where its repository keeps things. The only import of GitPython, which opens and checks the repository.

Only short-lived `Repo` objects are used, and only for what starts no child: GitPython guards its commands method by
method, so commands go through `runner` alone.
"""

import os
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..model.errors import SourceRejected, SourceUnavailable
from .refs import read_small


@dataclass(frozen=True, slots=True)
class Repository:
    """`git_dir` holds HEAD (a worktree has its own), `common_dir` refs and objects. `plain_refs`: refs are files."""

    git_dir: str
    common_dir: str
    bare: bool
    plain_refs: bool


def open_repository(path: str) -> Repository:
    """The repository at exactly `path`: a work tree, a linked worktree or a bare repository.

    Raises SourceRejected (`source-not-found`, `source-not-a-repository`, `source-unreadable`).
    """
    git, repo_type = _gitpython()
    absolute = str(Path(path).absolute())
    if _is_trapped(absolute):
        raise SourceRejected(
            f"cannot open {path}: a part of it is neither a file nor a directory", code="source-unreadable",
            hint="make the repository anew from a clone",
        )  # fmt: skip
    try:
        with repo_type(absolute, search_parent_directories=False, expand_vars=False) as repo:
            with repo.config_reader("repository") as config:
                storage = str(config.get_value("extensions", "refstorage", "files"))
            git_dir = str(Path(repo.git_dir).absolute())
            return Repository(git_dir, _common_dir(git_dir), bool(repo.bare), storage == "files")
    except git.exc.NoSuchPathError as error:
        raise SourceRejected(
            f"cannot open {path}: no such directory", code="source-not-found", hint="check `source.url`"
        ) from error
    except git.exc.InvalidGitRepositoryError as error:
        raise SourceRejected(
            f"cannot open {path}: not a git repository", code="source-not-a-repository", hint=_repository_hint(absolute)
        ) from error
    except PermissionError as error:
        raise SourceRejected(
            f"cannot open {path}: {error.strerror}", code="source-unreadable", hint="the service's user must read it"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a config file that cannot be parsed
        raise SourceUnavailable(f"cannot open {path}: {type(error).__name__}", code="source-unavailable") from error


def is_repository(path: str) -> bool:
    """True if `path` itself looks like a repository. Costs no import of GitPython."""
    root = Path(path)
    try:
        return (root / ".git").exists() or ((root / "HEAD").is_file() and (root / "objects").is_dir())
    except OSError:
        return False


def _common_dir(git_dir: str) -> str:
    """Where refs and objects are. Asked of the disk: GitPython would believe GIT_COMMON_DIR of our environment."""
    named = read_small(f"{git_dir}/commondir")
    return git_dir if named is None else os.path.normpath(Path(git_dir) / named.strip())


def _is_trapped(path: str) -> bool:
    """True if a FIFO or device stands where GitPython will open a file: reading it may never end."""
    for place in (Path(path), Path(path, ".git")):
        for name in ("", "HEAD", "config", "commondir", "gitdir"):
            try:
                mode = (place / name).stat().st_mode
            except OSError:
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return True
    return False


def _repository_hint(path: str) -> str:
    parent = next((str(p) for p in Path(path).parents if (p / ".git").exists()), "")
    if parent:
        return f"the repository is {parent}: name that, and the directory below it as `paths`"
    return "run `git init` there, or name a plain directory as dir:PATH"


@cache
def _gitpython() -> tuple[Any, Any]:
    """The module and our kind of `Repo`. On first use: 17 MiB and 0.2 s, which who reads plain files should not pay."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # do not run `git version` at import
    import git

    class Repo(git.Repo):
        """Reads a config file without what it includes: that may be a FIFO, and reading one may never end."""

        def _config_reader(self, config_level: Any = None, git_dir: Any = None) -> git.GitConfigParser:
            path = self._get_config_path(config_level or "repository", git_dir)
            return git.GitConfigParser(path, read_only=True, merge_includes=False)

    return git, Repo

"""A path -> where its repository keeps things. The only import of GitPython, which opens and checks the repository.

Only short-lived `Repo` objects are used, and only for what starts no child: GitPython guards its commands method by
method, so commands go through `runner` alone.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ..model.errors import SourceRejected, SourceUnavailable


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
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # do not run `git version` at import
    import git  # on first use: 17 MiB and 0.2 s, which a command that reads plain files should not pay

    absolute = str(Path(path).absolute())
    try:
        with git.Repo(absolute, search_parent_directories=False, expand_vars=False) as repo:
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
    try:
        named = (Path(git_dir) / "commondir").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return git_dir
    return os.path.normpath(Path(git_dir) / named)


def _repository_hint(path: str) -> str:
    parent = next((str(p) for p in Path(path).parents if (p / ".git").exists()), "")
    if parent:
        return f"the repository is {parent}: name that, and the directory below it as `paths`"
    return "run `git init` there, or name a plain directory as dir:PATH"

"""References of another repository into a bare one of ours: one hardened `git fetch`, then git's own tidying."""

from collections.abc import Sequence

from ..spec.giturl import Address
from .failure import check
from .profile import Access
from .runner import GitRunner

_OPTIONS = ("--quiet", "--no-write-fetch-head", "--no-recurse-submodules", "--force", "--no-auto-maintenance",
            "--no-show-forced-updates")  # fmt: skip
_TIDY = Access(config=(("gc.auto", "2000"), ("gc.autoPackLimit", "30")))  # objects and packs left loose, at most


def fetch(
    runner: GitRunner, git_dir: str, address: Address, refspecs: Sequence[str], *, doing: str, access: Access,
    timeout: float, max_file: int, tags: bool = False, depth: int = 0,
) -> None:  # fmt: skip
    """Bring `refspecs` into `git_dir`, whose lock is held. `timeout` in seconds, `max_file` bytes of one pack; `tags`:
    those that point at what comes, too; `depth`: commits of history, 0 = all. `doing` reads "fetch main of ssh://...";
    raises what a failing child is."""
    wanted = [*([] if tags else ["--no-tags"]), *([f"--depth={depth}"] if depth else [])]
    done = runner.run(
        ["fetch", *_OPTIONS, *wanted, "--", str(address), *refspecs],
        git_dir=git_dir, timeout=timeout, max_file=max_file, access=access,
    )  # fmt: skip
    check(done, doing, access)


def tidy(runner: GitRunner, git_dir: str, timeout: float, max_file: int) -> None:
    """Let git pack what many small fetches have left. Looks at a directory or two; rarely does more."""
    runner.run(["gc", "--auto", "--quiet"], git_dir=git_dir, timeout=timeout, max_file=max_file, access=_TIDY)

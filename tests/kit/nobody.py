"""Runs a piece of Python as another user: everything is imported as root first, then the child gives up its rights."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

NOBODY = 65534
ROOT = Path(__file__).parents[2]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def run_as_nobody(imports: str, code: str, groups: Sequence[int] = ()) -> str:
    """What `code` prints. `imports` is executed with root's rights."""
    drop = f"import os; os.setgroups({list(groups)!r}); os.setresgid(*[{NOBODY}] * 3); os.setresuid(*[{NOBODY}] * 3)"
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{drop}\n{code}"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def open_to_all(path: Path) -> None:
    """pytest's temporary directories are closed to other users."""
    for directory in [path, *path.parents]:
        if directory == Path(tempfile.gettempdir()):
            return
        directory.chmod(directory.stat().st_mode | 0o055)

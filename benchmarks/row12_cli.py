"""Row 12: `reconciler validate` of one file, from the shell: processor time of the whole process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .fleet import job_text
from .measure import Budget, Case
from .service import installed

TITLE = "validate one file, cold"


def cpu_of(argv: list[str], status: int, said: str, environment: dict[str, str]) -> float:
    """User and system seconds of a child that must end with `status`, and have `said` on its standard output."""
    child = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    assert child.stdout is not None
    with child.stdout:
        words = child.stdout.read().decode()
    _, ended, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(ended)
    assert child.returncode == status and said in words, (argv, child.returncode, words)
    return usage.ru_utime + usage.ru_stime


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    environment = installed(folder)
    for what, extra, status, said, ceiling in (
        ("valid", "", 0, "", 0.2),
        ("invalid", "retrys: 3\n", 1, 'did you mean "retries"?', 0.35),
    ):
        file = folder / f"{what}.yaml"
        file.write_text(job_text(1, extra=extra))
        argv = [sys.executable, "-m", "reconciler", "validate", str(file)]
        least = 3 if budget.quick else 25
        ours = partial(cpu_of, argv, status, said, environment)
        yield Case(12, f"{what} file, processor time", ours, ceiling=ceiling, least=least, most=least)

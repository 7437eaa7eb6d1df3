"""In: what git asks for. Out: the ledger's rows say which file each unchanged job lives in now (rule D1)."""

from dataclasses import replace

from ..history.base import History
from ..model.desired import DesiredState


def record_files(desired: DesiredState, history: History) -> bool:
    """A job whose file was renamed (`a.yml` to `a.yaml`) or went to another of the `paths` is the same job, so nothing
    is applied; but of two files of one name, the one where the job lives must be known. True if rows were written.

    Raises StateError.
    """
    standing = history.standing()
    moved = [
        replace(row, path=job.path, full_path=job.full_path) for name, job in desired.jobs.items()
        if (row := standing.get(name)) is not None and row.digest == job.digest and row.full_path != job.full_path
    ]  # fmt: skip
    if moved:
        with history.together():
            for row in moved:
                history.put_standing(row)
    return bool(moved)

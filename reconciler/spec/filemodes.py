"""In: a job, and who a file of its `files:` belongs to on the host. Out: can the job read it? Pure.

A container meets a file's owner and mode as they are on the host. Its root has no CAP_DAC_OVERRIDE unless the job adds
it, so mode 0400 means the owner alone. A service that is not root can give no file away.
"""

from collections.abc import Iterator

from ..model.job import FileMount, JobSpec
from ..model.problem import FieldProblem

ALL = 0o444
CODE = "file-unreadable"
SECRET_CODE = "secret-unreadable"  # noqa: S105
MAX_ID = 2**31 - 1
UNKNOWN = -1


def numeric_user(user: str | None) -> tuple[int, int] | None:
    """`1000:50` -> (1000, 50); the group is UNKNOWN unless it is a number. None = only the image knows who that is."""
    name, _, group = ("0" if user == "root" else user or "").partition(":")
    if not name.isdecimal() or int(name) > MAX_ID:
        return None
    return int(name), int(group) if group.isdecimal() and int(group) <= MAX_ID else UNKNOWN


def staged_owner(user: str | None, uid: int, gid: int) -> tuple[int, int]:
    """Who a file belongs to that a service of this user and group stages: a root service gives it to the job's user."""
    given = numeric_user(user) if uid == 0 else None
    if given is None:
        return uid, gid
    return given[0], gid if given[1] == UNKNOWN else given[1]


def unreadable(spec: JobSpec, uid: int, gid: int) -> Iterator[FieldProblem]:
    """For a service of this user and group: each file that the job cannot read, or (a warning) perhaps cannot."""
    for file in spec.files:
        if file.mode & ALL != ALL:
            found = fault(spec, file, *staged_owner(spec.user, uid, gid))
            if found is not None:
                yield found


def fault(spec: JobSpec, file: FileMount, uid: int, gid: int) -> FieldProblem | None:
    """What is wrong if the file belongs to this user and group of the host."""
    ids, said = numeric_user(spec.user), f"{file.target} has mode {file.mode:04o} and belongs to user {uid} of the host"
    may = "DAC_OVERRIDE" in spec.cap_add
    if ids is None and not file.mode & 0o004 and (uid == 0 or may):
        hint = "Give `user` as a number, or write mode 0444: what is in git is no secret."
        return _problem(file, f"{said}: the job can read it only if its image runs as root", hint, "warning")
    if _reads(ids, may, file.mode, uid, gid):
        return None
    hint = "Write mode 0444 (what is in git is no secret), or give `user` as a number to a service that runs as root."
    return _problem(file, f"{said}: the job cannot read it", hint, "error")


def unreadable_secrets(spec: JobSpec, uid: int, gid: int) -> Iterator[FieldProblem]:
    """The same for the files of its secrets."""
    for ref in spec.secrets:
        if ref.target and ref.mode & ALL != ALL:
            found = fault(spec, FileMount(ref.target, "", ref.mode), *staged_owner(spec.user, uid, gid))
            if found is not None:
                number = "Give `user` as a number to a service that runs as root" if uid else "Give `user` as a number"
                hint = f"{number}, or write mode 0444: the directory on the host keeps everybody else out."
                yield FieldProblem(f"secrets.{ref.name}", SECRET_CODE, found.message, hint, found.severity)


def _reads(ids: tuple[int, int] | None, may: bool, mode: int, uid: int, gid: int) -> bool:
    if ids is None:
        return bool(mode & 0o004)
    if ids[0] == 0 and may:
        return True
    bit = 0o400 if ids[0] == uid else 0o040 if ids[1] == gid else 0o004
    return bool(mode & bit)


def _problem(file: FileMount, message: str, hint: str, severity: str) -> FieldProblem:
    return FieldProblem(f"files.{file.target}", CODE, message, hint, severity)

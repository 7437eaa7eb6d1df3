"""In: a run's order and its folder. Out: the folder filled for the job's user: staged files and the environment."""

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..model.errors import EngineRejected
from .base import RunOrder
from .process_folder import Folder
from .process_preview import IDENTIFIER
from .process_spawn import JobUser

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def path_of(environment: Sequence[tuple[str, str]]) -> str:
    return dict(environment).get("PATH", PATH)


def fill_folder(draft: Folder, place: Path, order: RunOrder, user: JobUser) -> None:
    """Fill a run's folder, which will be moved to `place`, and hand over what the job may read or write."""
    try:
        for bind in sorted(order.workspace, key=lambda bind: bind.target):  # code, before what lies in it
            _place_of(draft, bind.target).symlink_to(bind.source)
        for source, target in order.staged:
            _stage(draft, source, target, user)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise EngineRejected(
            f"cannot stage {error.filename}: something else is at that place, or a file where a directory is needed",
            code="bad-target", hint="What is put into a checkout must not be in it already.",
        ) from error  # fmt: skip
    environment = draft.path / "environment"
    environment.write_text(environment_script(order, place), "utf-8", "surrogateescape")
    environment.chmod(0o400)
    if order.spec.outputs:
        (draft.path / "outputs").mkdir(mode=0o700)
        user.own(draft.path / "outputs")
    user.own(environment, draft.path / "work", draft.path / "state", draft.path / "state/exit")


def working_folder(order: RunOrder, place: Path) -> str:
    """Where the command begins: below `files/` if that is where the run finds it, else a folder of this host."""
    wanted = order.spec.working_dir
    if wanted is None:
        return "./work"
    within = any(PurePosixPath(wanted).is_relative_to(bind.target) for bind in order.workspace)
    return f"{place}/files{wanted}" if within else wanted


def environment_script(order: RunOrder, place: Path) -> str:
    """A clean environment as shell text: of the service's own only LANG; the job's words win."""
    variables = {"PATH": PATH, "HOME": str(place / "work"), "LANG": os.environ.get("LANG", "C.UTF-8")}
    if order.staged or order.workspace:
        variables["RECONCILER_FILES"] = str(place / "files")
    variables.update(order.environment)
    if order.spec.outputs:
        variables["RECONCILER_OUTPUTS"] = str(place / "outputs")
    if order.devices:  # a request that a program may overlook: there is no container round it
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(order.devices)
    # `command`: a name that this shell keeps for itself (bash: UID) is reported in the log and does not end the job.
    return "".join(
        f"command export {name}={shlex.quote(value)}\n" for name, value in variables.items() if IDENTIFIER.match(name)
    )


def _stage(draft: Folder, source: str, target: str, user: JobUser) -> None:
    """Copy a staged file below `files/`: a run keeps what it started with, whatever a later commit stages."""
    place = _place_of(draft, target)
    shutil.copyfile(source, place)
    mode = Path(source).stat().st_mode & 0o555
    place.chmod(mode)
    if not mode & 0o004:
        user.own(place)


def _place_of(draft: Folder, target: str) -> Path:
    """Where the job finds what a container would have at `target`."""
    parts = [part for part in PurePosixPath(target).parts if part != "/"]
    if not parts or ".." in parts:
        raise EngineRejected(f"cannot stage {target!r}: not a plain path", code="bad-target")
    place = draft.path.joinpath("files", *parts)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def place_outside(user: JobUser, state_dir: Path, instance_id: str) -> Path | None:
    """Where runs must go because the jobs' user cannot reach the state directory; None = it can, or is made to.

    A shell that cannot walk to its own folder fails at its first `cd`, so this is no nicety.
    """
    if not user.switch:
        return None
    state_dir.mkdir(parents=True, exist_ok=True)
    info = state_dir.stat()
    passable = all(_may_pass(user, parent) for parent in state_dir.absolute().parents)
    if passable and not _may_pass(user, state_dir) and info.st_uid == os.geteuid():
        state_dir.chmod(info.st_mode & 0o7777 | 0o001)
    if passable and _may_pass(user, state_dir):
        return None
    return Path("/var/tmp") / f"reconciler-{instance_id}"  # noqa: S108 - made with care: see make_folder


def _may_pass(user: JobUser, folder: Path) -> bool:
    info = folder.stat()
    shift = 6 if info.st_uid == user.uid else 3 if info.st_gid == user.gid else 0
    return bool(info.st_mode >> shift & 0o001)

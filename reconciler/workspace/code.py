"""A job's `repositories:` -> for each run a checkout of its own of each, and the commits that they are of.

    code/mirrors/...        what was fetched, by owner and URL
    code/trees/...          exported trees, by commit
    code/runs/RUN-ID/0, 1   a run's own copies, in the order of its file; code.json says of which commits

A branch is looked up once for a slot: its cells and its further attempts have the same commit.
"""

import os
import shutil
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from pathlib import Path

from ..gitio.runner import GitRunner
from ..model.errors import SourceRejected, SourceUnavailable, StateError
from ..model.job import CodeRepository, JobSpec
from ..model.run import CodeAt, RunRecord
from ..model.service import Limits, ServiceConfig
from ..model.workspace import NOTHING, Bind, Workspace
from .assembly import Modules
from .budget import GONE, collect
from .checkout import Checkouts, read, write
from .children import Copy, copy, remove
from .code_errors import as_code_errors, is_full
from .growth import Growth
from .mirrors import Mirrors, Origin
from .names import place_name
from .reach import origin_of, submodule_of
from .trees import Tree, Trees

ROOT = "code"
RESERVE = 256 << 20  # bytes that a checkout leaves free on the disk
SLOTS = 512  # whose commits are remembered
Owner = Callable[[JobSpec], tuple[int, int] | None]  # numbers of who a job runs as; None = nobody else than we


class Code:
    """The part of a workspace that holds code. `runs`: where the runs' copies go; `owner`: whom they belong to;
    `free`: bytes that a directory's disk has left; `left` hears once of each run's copy that cannot be removed."""

    def __init__(
        self, root: Path, runs: Path, owner: Owner, runner: GitRunner | None = None,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        left: Callable[[str, Path], None] = lambda _run, _path: None,
    ) -> None:  # fmt: skip
        self._mirrors = Mirrors(root / "mirrors", runner or GitRunner())
        self._trees = Trees(root / "trees", self._mirrors)
        self._root, self._runs, self._owner, self._free = root, runs, owner, free
        self.growth = Growth(runs)  # belongs to the thread that watches it
        self._left, self._told = left, set[Path]()
        self._guard = threading.Lock()
        self._slots: OrderedDict[tuple[object, ...], tuple[str, str]] = OrderedDict()
        self._turns: dict[tuple[object, ...], threading.Lock] = {}
        self._budget = Limits().code_bytes
        self._mine: set[str] = set()  # runs of this process, which no tidying touches

    def make(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Workspace:
        """Raises CodeUnavailable, CodeRejected, StateError."""
        if not spec.repositories:
            return NOTHING
        with self._guard:
            self._mine.add(run.run_id)
        place = self._runs / place_name(run.run_id)
        with as_code_errors(spec):
            made = read(place)
            if made is None:
                try:
                    made = self._make(run, spec, config, place)
                except (SourceRejected, OSError) as error:
                    if not is_full(error) or not collect(self._mirrors, self._trees, self._budget, need=RESERVE):
                        raise
                    made = self._make(run, spec, config, place)  # once more, with room
        binds = tuple(Bind(str(place / str(n)), item.target, read_only=False) for n, item in enumerate(made.code))
        return Workspace(binds, made.environment(spec), made.code, made.dropped)

    def drop(self, run_id: str) -> None:
        with self._guard:
            self._mine.discard(run_id)
        self._away(self._runs / place_name(run_id))
        self._leave_outside()

    def tidy(self, keep: Collection[str]) -> None:
        """They are out of the way at once. Removing them, and what has not been used for days, takes its time."""
        with self._guard:
            kept = {place_name(run_id) for run_id in (*keep, *self._mine)}
        with suppress(FileNotFoundError):
            for path in list(self._runs.iterdir()):
                if path.name not in kept and not path.name.startswith(GONE):
                    with suppress(OSError):
                        path.rename(path.with_name(f"{GONE}{path.name}"))
        threading.Thread(target=self._clear, name="code-tidy", daemon=True).start()

    def lacking(self) -> int:
        """Bytes that the runs' disk lacks of what it should have left; what is kept for later has made room by then."""
        with suppress(OSError):  # it is gone: nothing grows there
            lacking = max(0, RESERVE - self._free(self._runs))
            with suppress(OSError):  # of what is kept, which then makes no room
                if lacking and collect(self._mirrors, self._trees, self._budget, need=lacking):
                    lacking = max(0, RESERVE - self._free(self._runs))
            return lacking
        return 0

    def _clear(self) -> None:
        for path in self._runs.glob(f"{GONE}*"):
            self._remove(path)
        self._leave_outside()
        with suppress(OSError):
            collect(self._mirrors, self._trees, self._budget)

    def _leave_outside(self) -> None:
        """Runs that lie outside the state directory leave nothing there."""
        with self._guard, suppress(OSError):
            if not self._mine and self._root not in self._runs.parents:
                self._runs.rmdir()

    def _away(self, path: Path) -> None:
        """By another name first: what is half removed is never taken for a checkout."""
        gone = path.with_name(f"{GONE}{path.name}")
        try:
            path.rename(gone)
        except FileNotFoundError:
            return
        except OSError:  # what an earlier try of this run has left is still there
            gone = path.with_name(f"{GONE}{path.name}.{time.time_ns()}")
            try:
                path.rename(gone)
            except OSError:
                gone = path
        self._remove(gone)

    def _remove(self, path: Path) -> None:
        """A container's root makes what a service without root cannot remove: that is said, and tried again hourly."""
        gone = remove(path)
        with self._guard:
            news = not gone and path not in self._told
            self._told = self._told - {path} if gone else self._told | {path}
        if news:
            self._left(path.name.removeprefix(GONE), path)

    # -- making -----------------------------------------------------------------------------------------------
    def _make(self, run: RunRecord, spec: JobSpec, config: ServiceConfig, place: Path) -> Checkouts:
        self._directories()
        self._away(place)
        place.mkdir()
        place.chmod(0o711)
        self._budget, grown = config.limits.code_bytes, self._trees.grown
        until = time.monotonic() + config.limits.prepare_timeout
        code, dropped, parts, size = [], [], [], 0
        try:
            for number, item in enumerate(spec.repositories):
                self._check_room(self._root, 0)
                origin = origin_of(item, spec.owner, config)
                modules = self._modules(item, spec.owner, config, until) if item.submodules else None
                at, tree = self._copied(run, item, origin, modules, place / str(number), self._owner(spec))
                size += tree.size
                code.append(at)
                dropped += [f"{item.target}/{path}" for path in tree.dropped]
                parts += [f"{item.target}/{part.path}" for part in tree.parts if not item.subpath]
            made = Checkouts(run.run_id, size, tuple(code), tuple(dropped), tuple(parts))
            write(place, made)
        except BaseException:
            self._away(place)
            raise
        if self._trees.grown != grown:
            collect(self._mirrors, self._trees, self._budget)
        return made

    def _modules(self, item: CodeRepository, owner: str, config: ServiceConfig, until: float) -> Modules:
        """How the submodules of `item` are had; `until`: monotonic seconds."""

        def ready(size: int) -> None:
            self._check_room(self._root, size)
            if time.monotonic() > until:
                raise SourceUnavailable("it takes longer than `limits.prepare_timeout`", code="git-timeout")

        return Modules(lambda url: submodule_of(url, item.depth, owner, config), ready)

    def _copied(
        self, run: RunRecord, item: CodeRepository, origin: Origin, modules: Modules | None, to: Path,
        owner: tuple[int, int] | None,
    ) -> tuple[CodeAt, Tree]:  # fmt: skip
        """What the run is to have, at `to`. Most often that is what the last one had: it is copied while the server is
        asked, and is in vain if that says otherwise."""
        asked = next((at for at in run.code if (at.target, at.url) == (item.target, item.url)), None)
        at = asked or CodeAt(item.target, item.url, item.ref)
        last = None if at.commit or modules is not None else self._mirrors.last(origin, at.ref)
        with ExitStack() as until_known:
            tree = ahead = None
            if last is not None:
                tree = until_known.enter_context(self._trees.at_hand(origin, last[1], item.subpath))
            if tree is not None and self._free(self._runs) > tree.size + RESERVE:
                ahead = Copy(tree.path, to, owner)
                until_known.callback(ahead.abandon)
            at, name = self._commit(run, at, origin)
            if tree is not None and ahead is not None and last == (name, at.commit):
                ahead.finish()
                return at, tree
        remove(to)
        with self._trees.using(origin, name, at.commit, item.subpath, modules) as tree:
            self._check_room(self._runs, tree.size)
            copy(tree.path, to, owner)
            return at, tree

    def _commit(self, run: RunRecord, at: CodeAt, origin: Origin) -> tuple[CodeAt, str]:
        """What the run is to have, and its name on the server."""
        if at.commit:
            return at, at.ref
        key = (run.job, run.slot, at)
        with self._guard:
            turn = self._turns.setdefault(key, threading.Lock())
        try:
            with turn:  # the cells of a slot come at once
                found = self._slots.get(key)
                if found is None:
                    found = self._mirrors.commit_of(origin, at.ref)
                    with self._guard:
                        self._slots[key] = found
                        if len(self._slots) > SLOTS:
                            self._slots.popitem(last=False)
        finally:
            with self._guard:
                self._turns.pop(key, None)
        return at._replace(commit=found[1]), found[0]

    def _check_room(self, place: Path, size: int) -> None:
        """For `size` bytes in `place`; what is kept for later has to make room. Raises StateError (`disk-full`)."""
        free, needed = self._free(place), size + RESERVE
        if free < needed:
            collect(self._mirrors, self._trees, self._budget, need=needed - free)
            free = self._free(place)
        if free < needed:
            raise StateError(
                f"cannot stage code: {needed >> 20} MiB are needed and {free >> 20} MiB are free", code="disk-full",
                hint=f"free space below {place}",
            )  # fmt: skip

    def _directories(self) -> None:
        for path, mode in ((self._root, 0o711), (self._root / "mirrors", 0o700), (self._root / "trees", 0o700),
                           (self._runs, 0o711)):  # fmt: skip
            path.mkdir(parents=True, exist_ok=True)
            found = path.lstat()  # outside, another user may have been there first
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                raise StateError(f"cannot stage code in {path}: it is not a directory of this service's user")
            path.chmod(mode)  # whatever the umask is

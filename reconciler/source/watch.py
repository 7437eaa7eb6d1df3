"""The refs of a local repository -> kicks when they move; failures -> the time of the next poll of a remote one.

The only import of watchfiles. Watched are the few directories that hold HEAD, `packed-refs` and the one reference,
never a work tree and never `objects/`. A watch on a directory that is swapped for another goes blind for ever, so the
directories are compared with what is watched at each pause, and the reference itself is looked at then (a safety net).
"""

import os
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from .refs import read_small

STEP_MS = 250  # how often the watcher's thread wakes: the cost of being idle
DEBOUNCE_MS = 500  # a push writes several files; wait for the end of it, but not longer than this
PAUSE_MS = 5_000  # without an event, look at the directories and the reference this often
BLIND_PAUSE = 1.0  # seconds between two looks while nothing can be watched
MAX_BACKOFF = 900.0  # seconds
JITTER = 0.1


def next_poll(interval: float, failures: int, seed: str) -> float:
    """Seconds until the next poll of a remote: `interval`, doubled per failure in a row, at most 15 min or `interval`.

    Jitter of +-10 % comes from `seed` (instance and URL) and the count, so that a fleet spreads and a test repeats.
    """
    base = min(interval * 2.0 ** min(max(failures, 0), 20), max(interval, MAX_BACKOFF))
    spread = zlib.crc32(f"{seed}#{failures}".encode()) / 0xFFFFFFFF  # 0..1
    return base * (1.0 - JITTER + 2.0 * JITTER * spread)


def watch_refs(
    git_dir: str,
    common_dir: str,
    refs: Sequence[str],
    probe: Callable[[], str],
    stop: threading.Event,
    kick: Callable[[], None],
) -> None:
    """Block until `stop`; call `kick` whenever `probe()` gives another text than before.

    `refs` are the full names that may be read; HEAD stands for whatever branch it names at the time.
    """
    last = probe()

    def look() -> None:
        nonlocal last
        now = probe()
        if now != last:
            last = now
            kick()

    while not stop.is_set():
        directories = _directories(git_dir, common_dir, refs)
        if not directories or not _watch_once(directories, look, stop, lambda: _directories(git_dir, common_dir, refs)):
            stop.wait(BLIND_PAUSE)
        look()


def _watch_once(
    directories: dict[str, tuple[int, int]],
    look: Callable[[], None],
    stop: threading.Event,
    current: Callable[[], dict[str, tuple[int, int]]],
) -> bool:
    """Watch until `stop` or until the directories are others than these. False if they cannot be watched."""
    from watchfiles import watch

    began = time.monotonic()
    try:
        for _ in watch(
            *directories, recursive=False, step=STEP_MS, debounce=DEBOUNCE_MS, rust_timeout=PAUSE_MS,
            yield_on_timeout=True, stop_event=stop, watch_filter=_relevant, raise_interrupt=False,
        ):  # fmt: skip
            look()
            if current() != directories:
                return time.monotonic() - began > BLIND_PAUSE  # a directory that flickers must not make a busy loop
    except (OSError, RuntimeError):  # no inotify instance left, a directory that went while it was added
        return False
    return True


def _relevant(_change: object, path: str) -> bool:
    """HEAD, packed-refs and references; not the index, not the lock files beside each of them."""
    name = PurePosixPath(path).name
    return not name.endswith(".lock") and name not in _NOISE


_NOISE = frozenset({"index", "COMMIT_EDITMSG", "ORIG_HEAD", "FETCH_HEAD", "gc.pid", "MERGE_MSG", "objects", "logs"})


def _directories(git_dir: str, common_dir: str, refs: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The directories to watch, with device and inode of each; those that do not exist are left out."""
    wanted = {git_dir, common_dir}
    for name in {*refs, _head_target(git_dir)}:
        if name.startswith("refs/"):
            parents = name.split("/")[:-1]
            wanted |= {"/".join((common_dir, *parents[: depth + 1])) for depth in range(len(parents))}
    found = {}
    for path in sorted(wanted):
        try:
            status = os.stat(path)  # noqa: PTH116  a Path takes longer to make than this whole look
        except OSError:
            continue
        found[path] = (status.st_dev, status.st_ino)
    return found


def _head_target(git_dir: str) -> str:
    try:
        text = read_small(f"{git_dir}/HEAD") or ""
    except OSError:
        return ""
    return text[4:].strip() if text.startswith("ref:") and ".." not in text and "\0" not in text else ""

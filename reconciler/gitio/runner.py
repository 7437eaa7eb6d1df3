"""The one way in which git children run: arguments in, their bounded output out, nobody left behind (rule S5).

Each child leads a session of its own, so that whatever it starts (ssh, a remote helper, index-pack) ends with it. No
`preexec_fn`: it runs Python between fork and exec, which can deadlock in a process with threads. A bound on what a
child writes is set by a shell that then becomes git: set from outside after the spawn, it comes too late for what the
child has started meanwhile whenever this process is not scheduled at once.
"""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..model.errors import SourceRejected, SourceUnavailable
from .profile import NOTHING, Access, arguments, environment

MAX_OUTPUT = 32 << 20  # bytes of stdout, unless the caller says otherwise
MAX_STDERR = 16 << 10  # the last bytes are kept
_CHUNK = 1 << 18
_BLOCK = 512  # bytes; the unit of ulimit -f
_TICK = 0.1  # seconds between two looks at a cancellation


@dataclass(frozen=True, slots=True)
class Finished:
    """A child that ended by itself. `status` is negative if a signal ended it."""

    status: int
    stdout: bytes
    stderr: str


class GitRunner:
    """Runs git children, also from several threads. `cancel` ends all of them and refuses new ones."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    def run(
        self,
        command: Sequence[str],
        *,
        git_dir: str | None = None,
        work_tree: str | None = None,
        stdin: bytes = b"",
        timeout: float,
        max_output: int = MAX_OUTPUT,
        max_file: int | None = None,
        access: Access = NOTHING,
    ) -> Finished:
        """Run `git COMMAND`. `timeout` in seconds for all of it; `max_file` bounds each file it writes, bytes.

        Raises SourceUnavailable (`git-timeout`, `source-closed`) and SourceRejected (`git-missing`,
        `source-too-large`). A failing git is not an error here: see `failure.check`.
        """
        argv = [*_bounded(max_file), *arguments(access, git_dir, work_tree), *command]
        try:
            return self.program(
                argv, environment(access), name=f"git {command[0]}", stdin=stdin, timeout=timeout, max_output=max_output
            )
        except FileNotFoundError as error:
            message = "cannot run git: it is not installed"
            raise SourceRejected(message, code="git-missing", hint="install git") from error

    def program(
        self, argv: Sequence[str], env: Mapping[str, str], *, name: str, stdin: bytes = b"", timeout: float,
        max_output: int = MAX_OUTPUT, descriptors: Sequence[int] = (),
    ) -> Finished:  # fmt: skip
        """Run any program in the same way; `name` is what messages call it, `descriptors` are open in it.

        Raises FileNotFoundError if there is no such program; otherwise as `run`.
        """
        deadline = time.monotonic() + timeout
        child = _spawn(argv, env, bool(stdin), name, descriptors)
        try:
            stdout, stderr = self._talk(child, stdin, deadline, max_output, name)
            self._await_exit(child, deadline, name)
        finally:
            _end(child)
        return Finished(child.returncode, stdout, stderr.decode("utf-8", "replace"))

    def _talk(
        self, child: subprocess.Popen[bytes], stdin: bytes, deadline: float, max_output: int, name: str
    ) -> tuple[bytes, bytes]:
        """Feed stdin and read both outputs to their ends, whichever is ready."""
        assert child.stdout is not None and child.stderr is not None
        out, err = child.stdout.fileno(), child.stderr.fileno()
        chunks: list[bytes] = []
        total, tail, left = 0, b"", memoryview(stdin)
        poll = select.poll()
        open_fds = {out, err}
        for fd in open_fds:
            poll.register(fd, select.POLLIN)
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
            poll.register(child.stdin.fileno(), select.POLLOUT)
        while open_fds:
            for fd, _ in self._poll(poll, deadline, name):
                if fd not in (out, err):
                    left = _feed(child, left, poll)
                    continue
                data = os.read(fd, _CHUNK)
                if not data:
                    poll.unregister(fd)
                    open_fds.discard(fd)
                elif fd == err:
                    tail = (tail + data)[-MAX_STDERR:]
                else:
                    chunks.append(data)
                    total += len(data)
                    if total > max_output:
                        raise _too_large(name, max_output)
        return b"".join(chunks), tail

    def _await_exit(self, child: subprocess.Popen[bytes], deadline: float, name: str) -> None:
        """Wait without reaping: as long as the leader is a zombie, its group's number cannot be anyone else's."""
        pidfd = os.pidfd_open(child.pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            while not self._poll(poll, deadline, name):
                pass
        finally:
            os.close(pidfd)

    def _poll(self, poll: "select.poll", deadline: float, name: str) -> list[tuple[int, int]]:
        """What is ready; [] after a tick. Raises when the deadline has passed or the source was closed."""
        remaining = deadline - time.monotonic()
        if self._cancelled.is_set():
            raise SourceUnavailable(f"cannot run {name}: the source was closed", code="source-closed")
        if remaining <= 0:
            raise SourceUnavailable(
                f"cannot finish {name}: it took longer than allowed", code="git-timeout",
                hint="look at the network and the server, or raise `git.timeout`",
            )  # fmt: skip
        return poll.poll(min(remaining, _TICK) * 1000)


def _spawn(
    argv: Sequence[str], env: Mapping[str, str], with_stdin: bool, name: str, descriptors: Sequence[int]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv, env=env, cwd="/", start_new_session=True, bufsize=0, pass_fds=descriptors,
            stdin=subprocess.PIPE if with_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SourceUnavailable(f"cannot run {name}: {error.strerror}", code="git-unavailable") from error


def _bounded(max_file: int | None) -> list[str]:
    """What stands before `git` to bound the files it writes; no core dumps then either (they are files, too)."""
    if max_file is None:
        return []
    return ["/bin/sh", "-c", 'ulimit -c 0 && ulimit -f "$0" && exec "$@"', str(max_file // _BLOCK)]


def _feed(child: subprocess.Popen[bytes], left: memoryview, poll: "select.poll") -> memoryview:
    """Write what the pipe takes; close it when all is said or nobody reads any more."""
    assert child.stdin is not None
    fd = child.stdin.fileno()
    try:
        left = left[os.write(fd, left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        left = left[:0]
    if not left:
        poll.unregister(fd)
        child.stdin.close()
    return left


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the group, then reap the leader."""
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # nobody of the group lives
    child.wait()


def _too_large(name: str, limit: int) -> SourceRejected:
    return SourceRejected(
        f"cannot read the repository: {name} gave more than {limit >> 20} MiB", code="source-too-large",
        hint="point `source.paths` at a smaller directory",
    )  # fmt: skip

"""The service's unix socket: in, handlers by route; out, a listening socket that only the right people may use.

Every connection is one request in a thread of its own, at most MAX_CONNECTIONS at once. One that is taken over by
its handler (`Response.talk`) gives its place back: whoever hands it out bounds their number.
"""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from ..model.errors import Permanent
from .exchange import (
    Handler,
    Handlers,
    Refused,
    Request,
    Response,
    answer,
    failure,
    read_request,
    write_response,
)
from .peer import Peer, group_id, peer_of

__all__ = ["Handler", "Peer", "Request", "Response", "Server", "ServerError"]

MAX_CONNECTIONS = 32
OF_OTHERS, OF_ONE = 24, 8  # of them: of all who are no administrators, and of one user of those
GROUP = "reconciler"
_PATH_LIMIT = 107  # bytes of sun_path on Linux, less its zero
_STOP_SECONDS = 5.0


class ServerError(Permanent):
    """The socket cannot be made. Codes: socket-in-use, socket-path, socket-error."""

    code = "socket-error"


class Server:
    """`start` returns when clients can connect; `stop` when no handler runs any more, or after a few seconds.

    `others` says of a peer that is no administrator whether it may ask at all; what it may, the handlers decide. With
    `open_to_all` the file's mode lets every user connect, so that `others` can be asked.
    """

    def __init__(
        self, path: str | Path, handlers: Handlers, *, group: str | int = GROUP,
        others: Callable[[Peer], bool] = lambda _peer: False, open_to_all: bool = False,
    ) -> None:  # fmt: skip
        self._path, self._handlers, self._others, self._open = Path(path), handlers, others, open_to_all
        self._of_uid: Counter[int] = Counter()  # connections of those who are no administrators
        self._group = group_id(group) if isinstance(group, str) else group
        self._listener: socket.socket | None = None
        self._inode = (0, 0)
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._acceptor = threading.Thread(target=self._accept, name="socket", daemon=True)

    def start(self) -> None:
        """Raises ServerError. A stale socket file is replaced, one that answers never."""
        try:
            self._path.parent.mkdir(mode=0o755 if self._open else 0o750, parents=True, exist_ok=True)
            self._listener = _listen(self._path, self._group, _mode(self._open))
            found = self._path.stat()
        except OSError as error:
            raise ServerError(f"cannot listen on {self._path}: {error.strerror or error}") from error
        self._inode = (found.st_dev, found.st_ino)
        self._acceptor.start()

    def let_in(self, *, everybody: bool) -> None:
        """From now on `open_to_all`, or not."""
        self._open = everybody
        with contextlib.suppress(OSError):  # it is being stopped
            self._path.chmod(_mode(everybody))

    def stop(self) -> None:
        """Idempotent. Takes the file away if it is still ours."""
        if self._listener is None or self._stopping.is_set():
            return
        self._stopping.set()
        with contextlib.suppress(OSError):
            found = self._path.stat()
            if (found.st_dev, found.st_ino) == self._inode:
                self._path.unlink()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._acceptor.join(_STOP_SECONDS)
        self._listener.close()
        with self._lock:
            running = list(self._threads)
        until = time.monotonic() + _STOP_SECONDS
        for thread in running:
            thread.join(max(0.0, until - time.monotonic()))

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._stopping.is_set() or error.errno in (errno.EBADF, errno.EINVAL):
                    return
                self._stopping.wait(0.2)  # out of descriptors or memory: that passes
                continue
            self._serve_in_thread(connection)

    def _serve_in_thread(self, connection: socket.socket) -> None:
        if not self._places.acquire(blocking=False):
            with connection, contextlib.suppress(OSError):
                connection.settimeout(1.0)
                write_response(connection, _busy(), self._stopping.is_set)
            return
        thread = threading.Thread(target=self._serve, args=(connection,), name="request", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _serve(self, connection: socket.socket) -> None:
        place: threading.BoundedSemaphore | None = self._places
        try:
            with connection, contextlib.suppress(OSError):  # a client that has gone needs no answer
                response = self._respond(connection)
                if response is not None and response.talk is not None:
                    self._places.release()
                    place = None
                if response is not None:
                    write_response(connection, response, self._stopping.is_set)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
            if place is not None:
                place.release()

    def _respond(self, connection: socket.socket) -> Response | None:
        peer = peer_of(connection)
        peer = replace(peer, admin=peer.may(self._group))
        if not (peer.admin or self._others(peer)):
            return failure(
                HTTPStatus.FORBIDDEN, "not-permitted", f"{peer.actor} may not give orders to this service",
                f"join the group {GROUP!r}, or ask root",
            )  # fmt: skip
        with self._counted(peer) as has_place:
            if not has_place:
                return _busy()
            try:
                request = read_request(connection, peer)
            except Refused as refused:
                return failure(refused.status, refused.code, str(refused), refused.hint)
            return None if request is None else answer(self._handlers, request)

    @contextlib.contextmanager
    def _counted(self, peer: Peer) -> Iterator[bool]:
        """Whoever is no administrator has a few places, so that the others find one."""
        if peer.admin:
            yield True
            return
        with self._lock:
            room = self._of_uid.total() < OF_OTHERS and self._of_uid[peer.uid] < OF_ONE
            self._of_uid[peer.uid] += room
        try:
            yield room
        finally:
            with self._lock:
                self._of_uid[peer.uid] -= room


def _busy() -> Response:
    return failure(HTTPStatus.SERVICE_UNAVAILABLE, "service-busy", "too many requests at once", "try again")


def _mode(everybody: bool) -> int:
    return 0o666 if everybody else 0o660


def _listen(path: Path, group: int | None, mode: int) -> socket.socket:
    """Bind beside and rename into place: at no moment is there a socket with looser permissions, or none."""
    fresh = path.with_name(path.name + ".new")
    if len(os.fsencode(fresh)) > _PATH_LIMIT:
        raise ServerError(
            f"cannot listen on {path}: the path is longer than {_PATH_LIMIT - len('.new')} bytes", code="socket-path",
            hint="set runtime_dir to a shorter path in the service file",
        )  # fmt: skip
    with _start_lock(path):
        _refuse_if_taken(path)
        fresh.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(fresh))
            if group is not None:
                with contextlib.suppress(PermissionError):  # not root and no member: the group then stays our own
                    os.chown(fresh, -1, group)
            fresh.chmod(mode)
            listener.listen(MAX_CONNECTIONS)
            fresh.rename(path)
        except BaseException:
            listener.close()
            fresh.unlink(missing_ok=True)
            raise
    return listener


@contextlib.contextmanager
def _start_lock(path: Path) -> Iterator[None]:
    """Two services that start on one path at once: the second looks only when the first can be seen."""
    handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        until = time.monotonic() + _STOP_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _refuse_if_taken(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ServerError(f"cannot listen on {path}: it is not a socket", code="socket-path", hint="move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return  # nobody listens: stale
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ETIMEDOUT):
                raise
    raise ServerError(
        f"cannot listen on {path}: another service answers there", code="socket-in-use",
        hint="stop it, or set runtime_dir to another directory in the service file",
    )  # fmt: skip

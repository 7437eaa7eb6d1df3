"""A unix socket in front of a Docker Engine that misbehaves as told: rules in, a log of requests out.

One HTTP request per connection. A rule names requests by a regular expression on "METHOD /path" and what goes wrong
with the next `times` of them; the Engine behind is real.
"""

import contextlib
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

CREATE = r"^POST \S*/containers/create"
START = r"^POST \S*/containers/\w+/start"
LIST = r"^GET \S*/containers/json"
REMOVE = r"^DELETE \S*/containers/"
INSPECT = r"^GET \S*/containers/\S+/json"
RENAME = r"^POST \S*/containers/\w+/rename"
STOP = r"^POST \S*/containers/\w+/(stop|kill)"
LOGS = r"^GET \S*/containers/\w+/logs"
EVENTS = r"^GET \S*/events"
EXEC_CREATE = r"^POST \S*/containers/\w+/exec"
EXEC_START = r"^POST \S*/exec/\w+/start"

GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n<html>\xff\xfe\x00"
UPGRADE = re.compile(rb"(?i)\r\nupgrade:")
PATIENCE = 30.0  # seconds that a hanging request is kept at most


@dataclass
class Rule:
    """`action`: error (status 500), drop_before (never reaches the Engine), drop_after (done, but the client sees a
    reset), hang (not asked), hang_after (done, no answer), late (asked only once `FaultProxy.let_go` is called, the
    client has long gone), outlive (the client sees a reset at once, the Engine is asked `seconds` later), slow (asked
    `seconds` later), garbage, cut_after (the stream ends after `bytes` bytes)."""

    match: str
    action: str
    times: int = 1
    skip: int = 0  # how many matching requests pass first
    bytes: int = 0
    seconds: float = PATIENCE  # of hang, hang_after, outlive and slow
    then: Callable[[], None] = lambda: None  # called when the harm is done, before the client can notice


@dataclass
class FaultProxy:
    """Listens at `path` for the Engine at `upstream`, both unix socket paths."""

    path: str
    upstream: str
    rules: list[Rule] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # "METHOD /path" in order of arrival
    at: list[float] = field(default_factory=list)  # time.monotonic() of each
    carried_out: int = 0  # late requests that the Engine has answered
    owed: int = 0  # requests that the Engine will be asked later, whether or not the client is still there
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _gate: threading.Event = field(default_factory=threading.Event)
    _closing: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    harm: list[str] = field(default_factory=list)  # "action METHOD /path" of each request that met a rule
    _streams: dict[socket.socket, str] = field(default_factory=dict)  # answers under way, by the client's end

    @property
    def docker_host(self) -> str:
        return f"unix://{self.path}"

    def inject(self, match: str, action: str, *, times: int = 1, skip: int = 0, after_bytes: int = 0) -> None:
        with self._lock:
            self.rules.append(Rule(match, action, times, skip, after_bytes))

    def add(self, rule: Rule) -> None:
        with self._lock:
            self.rules.append(rule)

    def mend(self) -> None:
        with self._lock:
            self.rules.clear()

    def cut(self, match: str) -> None:
        """End the answers to such requests that are under way."""
        with self._lock:
            for client in [client for client, line in self._streams.items() if re.search(match, line)]:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def let_go(self) -> None:
        """Let `late` requests reach the Engine now, and those that come."""
        self._gate.set()

    def hold(self) -> None:
        """Keep `late` requests again."""
        self._gate.clear()

    def count(self, match: str) -> int:
        """How many requests matched so far."""
        with self._lock:
            return sum(1 for line in self.requests if re.search(match, line))

    def serve(self) -> None:
        Path(self.path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path)
        listener.listen(64)
        listener.settimeout(0.1)
        self._spawn(self._accept, listener)

    def close(self) -> None:
        self._closing.set()
        self._gate.set()
        for thread in self._threads:
            thread.join(10.0)

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    client, _ = listener.accept()
                    self._spawn(self._handle, client)

    def _handle(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            request = _read_request(client)
            if not request:
                return
            line = request.split(b"\r\n", 1)[0].rpartition(b" ")[0].decode("latin1")
            rule = self._note(line)
            with self._lock:
                self._streams[client] = line
            try:
                self._act(client, request, rule)
            finally:
                with self._lock:
                    del self._streams[client]

    def _note(self, line: str) -> Rule:
        with self._lock:
            self.requests.append(line)
            self.at.append(time.monotonic())
            for rule in self.rules:
                if re.search(rule.match, line):
                    if rule.skip > 0:
                        rule.skip -= 1
                    elif rule.times > 0:
                        rule.times -= 1
                        self.harm.append(f"{rule.action} {line}")
                        return rule
        return Rule("", "pass")

    def _act(self, client: socket.socket, request: bytes, rule: Rule) -> None:
        later = rule.action in ("late", "outlive", "slow")
        with self._lock:
            self.owed += later
        try:
            self._carry_out(client, request, rule)
        finally:
            with self._lock:
                self.owed -= later

    def _carry_out(self, client: socket.socket, request: bytes, rule: Rule) -> None:
        match rule.action:
            case "drop_before":
                rule.then()
                return
            case "hang":
                rule.then()
                self._closing.wait(rule.seconds)
                return
            case "outlive":
                rule.then()
                client.shutdown(socket.SHUT_RDWR)
                self._closing.wait(rule.seconds)
            case "slow":
                self._closing.wait(rule.seconds)
            case "late":
                self._gate.wait(PATIENCE)
            case "error":
                body = b'{"message":"injected"}'
                client.sendall(b"HTTP/1.1 500 Injected\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                return
            case "garbage":
                client.sendall(GARBAGE)
                return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
            engine.settimeout(PATIENCE)
            engine.connect(self.upstream)
            engine.sendall(request)
            if rule.action in ("drop_after", "hang_after", "late", "outlive"):
                engine.recv(65536)
                rule.then() if rule.action in ("drop_after", "hang_after") else None
                self.carried_out += rule.action in ("late", "outlive")
                if rule.action == "hang_after":
                    self._closing.wait(rule.seconds)
                return
            if UPGRADE.search(request):
                self._spawn(self._carry, client, engine)
            self._copy(engine, client, rule.bytes if rule.action == "cut_after" else None)

    def _carry(self, client: socket.socket, engine: socket.socket) -> None:
        """What the client says on a connection that has become a plain stream, and that it has gone."""
        data = b"more"
        while data and not self._closing.is_set():
            try:
                data = client.recv(65536)
                engine.sendall(data)
            except TimeoutError:
                continue
            except OSError:
                break
        with contextlib.suppress(OSError):
            engine.shutdown(socket.SHUT_RDWR)

    def _copy(self, engine: socket.socket, client: socket.socket, limit: int | None) -> None:
        engine.settimeout(0.2)
        sent = 0
        while not self._closing.is_set():
            try:
                data = engine.recv(65536)
            except TimeoutError:
                if _gone(client):
                    return
                continue
            if not data:
                return
            if limit is not None and sent + len(data) >= limit:
                client.sendall(data[: limit - sent])
                return
            client.sendall(data)
            sent += len(data)


def _gone(client: socket.socket) -> bool:
    """True if the client has closed its end."""
    readable, _, _ = select.select([client], [], [], 0)
    try:
        return bool(readable) and client.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


def _read_request(client: socket.socket) -> bytes:
    """One request with its body, asking the Engine to close the connection after its answer."""
    client.settimeout(PATIENCE)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", head)
    while length and len(body) < int(length[1]):
        body += client.recv(65536)
    if UPGRADE.search(head):
        return head + b"\r\n\r\n" + body
    head = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head)
    return head + b"\r\nConnection: close\r\n\r\n" + body


@contextlib.contextmanager
def fault_proxy(folder: Path, docker_host: str) -> Iterator[FaultProxy]:
    """A proxy in `folder` (a short path) before `docker_host`, gone at the end."""
    proxy = FaultProxy(str(folder / "p.sock"), docker_host.removeprefix("unix://"))
    proxy.serve()
    try:
        yield proxy
    finally:
        proxy.close()

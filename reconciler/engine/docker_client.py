"""In: an Engine's address. Out: its answers within deadlines, streams by docker's client, and all errors as ours.

Building it costs no call; the API version is asked for once, on first use. The user's own docker configuration
(logins, proxies, headers) is never used: what the service may do stands in the service file.
"""

import os
import socket
import threading
import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from json import JSONDecodeError, dumps, loads
from typing import Any
from urllib.parse import urlencode

import docker
import requests
import urllib3
from docker import auth, tls

from ..model.errors import EngineRejected, EngineUnavailable
from . import docker_errors
from .docker_address import address, shares_host
from .docker_hijack import Hijacked
from .docker_transport import UnixAdapter
from .docker_wire import Refused, Wire

OLDEST_API, PREFERRED_API = (1, 41), (1, 44)  # what we speak: Docker Engine 20.10 and later
HINT_AWAY = "Is dockerd running, and may this user use its socket? See `systemctl status docker`."


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds without an answer until a call counts as failed. `pull` bounds a whole pull, `idle` a silent stream."""

    call: float = 30.0
    start: float = 60.0
    pull: float = 1500.0
    idle: float = 60.0
    connect: float = 5.0


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Version:
    api: str
    engine: str


class Clients:
    """Short requests go straight over the socket; docker's clients, which stream and know TLS, are kept by thread,
    since docker's own is not safe across threads: it is a requests.Session."""

    def __init__(self, docker_host: str, timeouts: Timeouts, engine_paths: str = "") -> None:
        self.url = address(docker_host)
        self.shares_host = shares_host(self.url, engine_paths)
        self.timeouts = timeouts
        self._local = threading.local()
        self._all: weakref.WeakSet[docker.APIClient] = weakref.WeakSet()
        self._streams: weakref.WeakKeyDictionary[requests.Response, docker.APIClient] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._version: Version | None = None
        self._wire = Wire(self.socket_path) if self.local else None

    @property
    def local(self) -> bool:
        """Is it at a socket of this host? Whether its files are this host's, too, is `shares_host`."""
        return self.url.startswith("unix://")

    @property
    def socket_path(self) -> str:
        return self.url.removeprefix("unix://") if self.local else ""

    def get(self, timeout: float | None = None) -> docker.APIClient:
        """This thread's client. `timeout` (seconds, default `call`) holds for its next calls."""
        client = self._own(self.version().api)
        client.timeout = self.timeouts.call if timeout is None else timeout  # type: ignore[assignment]
        return client

    def _own(self, api: str = "") -> docker.APIClient:
        """This thread's client, whatever API it speaks if that does not matter."""
        client: docker.APIClient | None = getattr(self._local, "client", None)
        if client is None or (api and client.api_version != api):
            client = self._local.client = self._build(api or "{}.{}".format(*OLDEST_API))
        return client

    def ask(
        self, method: str, path: str, params: dict[str, str] | None = None, body: object = None,
        *, timeout: float | None = None,
    ) -> Any:  # fmt: skip
        """The decoded answer to a request; `path` is below the API's version. `timeout`: seconds, default `call`.

        Raises Refused, docker's errors, OSError and ValueError: call it inside `translated`.
        """
        return loads(self._answer(method, f"/v{self.version().api}{path}", params, body, timeout)[1])

    def command(
        self, method: str, path: str, params: dict[str, str] | None = None, *, timeout: float | None = None,
        done: Collection[int] = (204, 304),
    ) -> None:  # fmt: skip
        """A request that answers one of `done` (as a rule 204, done, or 304, was so already) and nothing else.

        docker's own methods take any 2xx for a success; what something else than an Engine answers is no success.
        Raises as `ask`.
        """
        status, _ = self._answer(method, f"/v{self.version().api}{path}", params, None, timeout)
        if status not in done:
            raise ValueError(f"status {status} instead of {next(iter(done))}")

    def begin(self, path: str, body: object) -> None:
        """A POST that is answered by nothing but its success. Raises as `ask`."""
        self._answer("POST", f"/v{self.version().api}{path}", None, body, None)

    def _answer(
        self, method: str, path: str, params: dict[str, str] | None, body: object, timeout: float | None
    ) -> tuple[int, bytes]:
        target = f"{path}?{urlencode(params)}" if params else path
        data = None if body is None else dumps(body, separators=(",", ":")).encode()
        seconds = self.timeouts.call if timeout is None else timeout
        if self._wire is not None:
            status, content = self._wire.ask(method, target, data, seconds)
        else:
            status, content = self._ask_docker(method, target, data, seconds)
        if status >= 400:
            raise Refused(status, _words(content))
        return status, content

    def _ask_docker(self, method: str, target: str, data: bytes | None, timeout: float) -> tuple[int, bytes]:
        client = self._own()
        headers = {"Content-Type": "application/json"} if data else {}
        response = client.request(method, client.base_url + target, data=data, headers=headers, timeout=timeout)
        return response.status_code, response.content

    def stream(
        self, method: str, path: str, params: Mapping[str, str | bytes], *, idle: float | None
    ) -> requests.Response:
        """A streaming answer on a client of its own, which goes with it. Silence of `idle` seconds breaks it
        (None = never). Raises docker's errors: call it inside `translated`."""
        client = self._build(self.version().api)
        try:
            url = f"{client.base_url}/v{client.api_version}{path}"
            response = client.request(method, url, params=params, stream=True, timeout=(self.timeouts.connect, idle))
            raise_for_status(response)
        except BaseException:
            client.close()
            raise
        self._streams[response] = client  # lives as long as its answer
        return response

    @contextmanager
    def attached(self, ref: str) -> Iterator[socket.socket]:
        """A connection that is the standard input of a container that was created to have one; its end is the end of
        that input. Raises docker's errors: call it inside `translated`."""
        client = self._build(self.version().api)
        client.timeout = self.timeouts.idle  # type: ignore[assignment]
        try:
            stream = client.attach_socket(ref, {"stdin": 1, "stream": 1})
            connection: socket.socket = getattr(stream, "_sock", stream)
            connection.settimeout(self.timeouts.idle)
            try:
                yield connection
            finally:
                with suppress(OSError):  # the other side has closed it
                    connection.shutdown(socket.SHUT_WR)
                os.close(connection.detach())  # `close` would wait for the files that HTTP has made of it
        finally:
            client.close()

    def hijack(self, path: str, body: object, *, timeout: float) -> Hijacked:
        """A POST whose connection goes on both ways, on a client of its own. `timeout`: seconds without a sign of life
        until `Hijacked.wait` is called. Raises docker's errors: call it inside `translated`."""
        client = self._build(self.version().api)
        try:
            url = f"{client.base_url}/v{client.api_version}{path}"
            headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
            patience = (self.timeouts.connect, timeout)
            response = client.post(url, json=body, headers=headers, stream=True, timeout=patience)
            raise_for_status(response)
            return Hijacked(client, response)
        except BaseException:
            client.close()
            raise

    def version(self) -> Version:
        """What the Engine speaks, asked once. Raises EngineUnavailable, or EngineRejected if it is too old."""
        if self._version is None:
            with translated("reach", "Docker Engine"):
                self._version = _agree(loads(self._answer("GET", "/version", None, None, None)[1]))
        return self._version

    def forget_version(self) -> None:
        """Ask again on the next use: the Engine was upgraded under us."""
        self._version = None

    def close(self) -> None:
        with self._lock:
            clients, streams = list(self._all), list(self._streams)
        if self._wire is not None:
            self._wire.close()
        for response in streams:
            cut(response)
        for client in clients:
            client.close()

    def _build(self, api: str) -> docker.APIClient:
        with translated("use", "docker_host"):
            client = docker.APIClient(
                base_url=self.url, version=api, timeout=int(self.timeouts.call), tls=self._tls(), max_pool_size=2
            )
        if self.local:
            client.mount("http+docker://", UnixAdapter(self.socket_path))
        client.trust_env = False  # no proxies, no .netrc
        client._general_configs = {}  # type: ignore[attr-defined] # no headers or proxies of the user
        client._auth_configs = auth.AuthConfig({})  # type: ignore[attr-defined]
        with self._lock:
            self._all.add(client)
        return client

    def _tls(self) -> tls.TLSConfig | bool:
        """The client certificate that DOCKER_TLS_VERIFY and DOCKER_CERT_PATH name, for a tcp:// address."""
        if not self.url.startswith(("tcp://", "https://")) or not os.environ.get("DOCKER_TLS_VERIFY"):
            return False
        folder = os.environ.get("DOCKER_CERT_PATH") or os.path.join(os.path.expanduser("~"), ".docker")  # noqa: PTH118,PTH111
        cert, key, authority = (os.path.join(folder, f"{name}.pem") for name in ("cert", "key", "ca"))  # noqa: PTH118
        return tls.TLSConfig(client_cert=(cert, key), ca_cert=authority, verify=True)


def raise_for_status(response: requests.Response) -> None:
    """Raise docker's APIError, with the Engine's own words, for an answer of status 400 or more."""
    try:
        response.raise_for_status()
    except requests.exceptions.HTTPError as error:
        with response:
            docker.errors.create_api_error_from_http_exception(error)


def cut(response: requests.Response) -> None:
    """End a stream that another thread is reading: it sees an end of file."""
    try:
        response.raw.shutdown()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: urllib3, when the connection was given back already
        pass  # it has ended by itself


def _agree(answer: object) -> Version:
    """The API version to speak: the preferred one, or the nearest that the Engine has."""
    if not isinstance(answer, dict) or not isinstance(answer.get("ApiVersion"), str):
        raise EngineUnavailable("cannot reach Docker Engine: its answer is not one of Docker's", hint=HINT_AWAY)
    newest = _pair(answer["ApiVersion"])
    if newest < OLDEST_API:
        raise EngineRejected(
            f"cannot use this Docker Engine: API {answer['ApiVersion']} is too old",
            code="engine-too-old",
            hint="Docker Engine 20.10 (API 1.41) or later is needed.",
        )
    oldest = _pair(str(answer.get("MinAPIVersion") or "1.0"))
    major, minor = max(min(newest, PREFERRED_API), oldest)
    return Version(f"{major}.{minor}", str(answer.get("Version", "?")))


def _words(content: bytes) -> str:
    """What a refusal says, in the Engine's own form or in any other."""
    try:
        said = loads(content)
    except ValueError:
        said = None
    message = said.get("message") if isinstance(said, dict) else None
    return message if isinstance(message, str) else content.decode("utf-8", "replace")


def _pair(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


@contextmanager
def translated(verb: str, thing: str) -> Iterator[None]:
    """Turn every error of docker, HTTP and JSON into EngineUnavailable or EngineRejected (see docker_errors)."""
    try:
        yield
    except Refused as error:
        raise docker_errors.from_answer(verb, thing, error.status, error.words) from error
    except docker.errors.APIError as error:
        raise docker_errors.from_answer(verb, thing, error.status_code, str(error.explanation or error)) from error
    except docker.errors.DockerException as error:
        hint = "Use unix:///path/to/docker.sock or tcp://host:port."
        raise EngineRejected(f"cannot {verb} {thing}: {error}", code="docker-host", hint=hint) from error
    except (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
        raise EngineUnavailable(f"cannot {verb} {thing}: the Engine does not answer in time", hint=HINT_AWAY) from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        reason = docker_errors.short(error)
        raise EngineUnavailable(f"cannot {verb} {thing}: {reason}", hint=HINT_AWAY) from error
    except UnicodeEncodeError as error:  # nothing was asked: it tells nothing of the Engine
        hint = "Rename what bears it."
        raise EngineRejected(f"cannot {verb} {thing}: a name that is not UTF-8", hint=hint) from error
    except (JSONDecodeError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        # An answer that is not of Docker's shape: what it did is unknown.
        message = f"cannot {verb} {thing}: the Engine's answer cannot be read"
        raise EngineUnavailable(message, hint=HINT_AWAY) from error

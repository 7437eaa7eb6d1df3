"""Smart-HTTP git on loopback for tests: a directory of repositories in, a base URL out; faults at will.

Served by `git http-backend` as a CGI, so clients talk to the real thing. The server lives in threads of the test's own
process and ends with `close`; a request that is made to hang is let go then.
"""

import base64
import http.server
import os
import subprocess
import threading
from pathlib import Path
from types import TracebackType


class GitHttp:
    """`fault`: "" | "401" | "500" | "hang" | any other status. `auth`: "user:token" asked of every request."""

    def __init__(self, root: Path, auth: str = "") -> None:
        self.root, self.auth, self.fault = root, auth, ""
        self.requests: list[str] = []  # "GET /path" of each, in order of arrival
        self.closing = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> "GitHttp":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _handler(lab: GitHttp) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, TimeoutError):
                self.close_connection = True  # a client that was killed at its deadline

        def _serve(self) -> None:
            lab.requests.append(f"{self.command} {self.path}")
            if lab.fault == "hang":
                lab.closing.wait(60)
                self.close_connection = True
                return
            if lab.fault:
                self._refuse(int(lab.fault))
                return
            if lab.auth and self.headers.get("Authorization") != _basic(lab.auth):
                self._refuse(401, ("WWW-Authenticate", 'Basic realm="git"'))
                return
            self._answer(_run_backend(lab.root, self, self._body()))

        def _refuse(self, status: int, *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for key, value in headers:
                self.send_header(key, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, output: bytes) -> None:
            head, _, data = output.partition(b"\r\n\r\n")
            pairs = [line.partition(": ")[::2] for line in head.decode().split("\r\n") if line]
            status = next((int(value.split()[0]) for key, value in pairs if key == "Status"), 200)
            self.send_response(status)
            for key, value in pairs:
                if key != "Status":
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _run_backend(root: Path, request: http.server.BaseHTTPRequestHandler, body: bytes) -> bytes:
    path, _, query = request.path.partition("?")
    env = {
        "PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
        "REQUEST_METHOD": request.command, "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)), "REMOTE_ADDR": "127.0.0.1", "REMOTE_USER": "test",
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }  # fmt: skip
    return subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, timeout=60).stdout


def _basic(auth: str) -> str:
    return "Basic " + base64.b64encode(auth.encode()).decode()

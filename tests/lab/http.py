"""One HTTP GET over a unix socket, for readiness probes: socket path and URL path in, status code out."""

import socket


def unix_status(path: str, target: str, timeout: float = 3.0) -> int | None:
    """The status of `GET target` on the unix socket `path`; None if nothing answers."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout)
            client.connect(path)
            client.sendall(f"GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            words = client.recv(64).split(b" ", 2)
    except OSError:
        return None
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None

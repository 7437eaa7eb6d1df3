"""A process of its own that stands between a client and an Engine's unix socket, and notes when starts are asked for.

`python -m benchmarks.tap LISTEN UPSTREAM LOG`: bytes go through as they come; of each `POST .../start` that is seen
the instant (time.time()) and the path are written to LOG as one line.
"""

import re
import selectors
import socket
import sys
import time
from pathlib import Path

START = re.compile(rb"POST (\S*/containers/\S+/start)")


def main(listen: str, upstream: str, log_path: str) -> None:
    Path(listen).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(listen)
    listener.listen(128)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    partner: dict[socket.socket, socket.socket] = {}
    clients: set[socket.socket] = set()
    with open(log_path, "a", buffering=1) as log:
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                at = time.time()
                sock = key.fileobj
                if sock is listener:
                    client, _ = listener.accept()
                    engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                    engine.connect(upstream)
                    partner[client], partner[engine] = engine, client
                    clients.add(client)
                    for one in (client, engine):
                        selector.register(one, selectors.EVENT_READ)
                    continue
                assert isinstance(sock, socket.socket)
                if sock not in partner:
                    continue
                try:
                    data = sock.recv(1 << 16)
                except OSError:
                    data = b""
                if sock in clients and (found := START.match(data)):
                    log.write(f"{at:.6f} {found[1].decode()}\n")
                if not _pass_on(partner[sock], data):
                    other = partner.pop(sock)
                    partner.pop(other, None)
                    for one in (sock, other):
                        clients.discard(one)
                        selector.unregister(one)
                        one.close()


def _pass_on(sock: socket.socket, data: bytes) -> bool:
    """False at the end of either side. Blocking: what is measured is when a request was written, not throughput."""
    if not data:
        return False
    try:
        sock.sendall(data)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main(*sys.argv[1:4])

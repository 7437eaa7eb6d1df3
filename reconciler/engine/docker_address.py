"""In: what the service file says of the Docker Engine's address. Out: the address, and whose files are behind it."""

import os

LOCAL_SOCKET = "unix:///var/run/docker.sock"
OPEN = ("tcp://", "http://")


def address(docker_host: str) -> str:
    """The address that is used; "" = DOCKER_HOST, else the local socket."""
    return docker_host or os.environ.get("DOCKER_HOST", "") or LOCAL_SOCKET


def shares_host(url: str, engine_paths: str) -> bool:
    """Does the Engine at `url` see the files of this host? `engine_paths` as in the service file."""
    return engine_paths == "shared" if engine_paths else url.startswith("unix://")


def is_unprotected(url: str) -> bool:
    """May whoever reaches `url` use the Engine, which is to be root there?"""
    return url.startswith(OPEN) and not os.environ.get("DOCKER_TLS_VERIFY")

"""Which Docker Engine the tests may use: a private one of their own, else one that answers, else none and why."""

import os
from dataclasses import dataclass
from pathlib import Path

from .dockerd import Handle, NoDocker, default_directory, ensure
from .http import unix_status

DEFAULT_HOST = "unix:///var/run/docker.sock"
HOW = "as root with docker.io installed: `make test`; everything, installed where it is missing: `CI=true make test`"


@dataclass(frozen=True)
class Tier:
    """`host` is a DOCKER_HOST, "" = none. `private` is the lease on our own Engine. `why` says what cannot be run."""

    host: str
    private: Handle | None
    why: str = ""

    @property
    def notice(self) -> str:
        """What a person must be told in the end; "" if the whole tier runs."""
        return self.why and f"THE DOCKER TIER WAS NOT RUN{' IN FULL' if self.host else ''}: {self.why}"

    def close(self) -> None:
        if self.private is not None:
            self.private.stop()


def open_tier(*, install: bool, directory: Path | None = None) -> Tier:
    """Start a private Engine, or share the one that this machine's tests have running already.

    Only plain tests may fall back on an Engine that the tests did not start; fault and load tests never see it.
    """
    try:
        handle = ensure(directory or default_directory(), install=install)
    except NoDocker as error:
        host = answering()
        return Tier(host, None, f"{error} ({'only tests that need no Engine of their own ran' if host else HOW})")
    return Tier(handle.docker_host, handle)


def answering() -> str:
    """The address of the local Engine that the environment names, if it answers, else "". Remote ones are not used."""
    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    local = host.startswith("unix://") and unix_status(host.removeprefix("unix://"), "/_ping", timeout=5.0) == 200
    return host if local else ""

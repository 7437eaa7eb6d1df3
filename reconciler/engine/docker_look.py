"""In: the name or id of any container. Out: what the Engine says of it and of its image. Nothing is changed."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from .docker_client import DEFAULT_TIMEOUTS, Clients, translated


def look_at(docker_host: str, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Raises EngineUnavailable, EngineRejected (`engine-absent`)."""
    with closing(Clients(docker_host, DEFAULT_TIMEOUTS)) as clients, translated("look at", name):
        container: Mapping[str, Any] = clients.get().inspect_container(name)
        image: Mapping[str, Any] = clients.get().inspect_image(container["Image"])  # type: ignore[no-untyped-call]
        return container, image

"""A Docker Engine's address in; what it holds of one instance out: standing containers and runs, by name."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker

LABEL = "io.reconciler."


@dataclass(frozen=True)
class Container:
    """One container of ours, as the Engine itself shows it."""

    ref: str
    name: str
    labels: Mapping[str, str]
    image_id: str
    state: str

    @property
    def digest(self) -> str:
        return self.labels[LABEL + "digest"]

    @property
    def revision(self) -> str:
        return self.labels[LABEL + "revision"]


@contextlib.contextmanager
def api(docker_host: str) -> Iterator[Any]:
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=60)
    try:
        yield client
    finally:
        client.close()


def containers(docker_host: str, instance: str, kind: str) -> dict[str, Container]:
    """Job name -> standing container (`kind` standing), or run id -> container (`kind` run)."""
    wanted = {"label": [f"{LABEL}instance={instance}", f"{LABEL}kind={kind}"]}
    with api(docker_host) as client:
        rows = client.containers(all=True, filters=wanted)
    key = LABEL + ("job" if kind == "standing" else "run")
    return {
        row["Labels"][key]: Container(
            row["Id"], row["Names"][0].removeprefix("/"), row["Labels"], row["ImageID"], row["State"]
        )
        for row in rows
    }


def standing(docker_host: str, instance: str) -> dict[str, Container]:
    return containers(docker_host, instance, "standing")


def run_containers(docker_host: str, instance: str) -> dict[str, Container]:
    return containers(docker_host, instance, "run")


def volumes(client: Any, instance: str) -> list[str]:
    """Names of what the Engine keeps for runs and owners of this instance."""
    return [row["Name"] for row in client.volumes()["Volumes"] or () if row["Name"].startswith(f"{instance}.")]


def unpackers(client: Any, instance: str) -> list[dict[str, Any]]:
    """The containers that fill runs' volumes just now."""
    labels = [f"{LABEL}instance={instance}", f"{LABEL}kind=unpack"]
    return list(client.containers(all=True, filters={"label": labels}))

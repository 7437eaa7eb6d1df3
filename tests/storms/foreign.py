"""Containers, a network and a volume that are not ours, some of which look as if they were. Nobody may touch them."""

import re
from collections.abc import Sequence
from pathlib import Path

from reconciler.engine.docker import DockerEngine
from tests.kit.docker_engine import clean_up, make_context
from tests.kit.orders import make_spec, run_order
from tests.kit.standing import LABEL, api
from tests.lab.images import BUSYBOX

WRITES = re.compile(r"^(POST|PUT|DELETE) ")


class Foreign:
    """They run, so that no prune takes them. `other` is another instance on the same Engine."""

    def __init__(self, docker_host: str, instance: str, folder: Path) -> None:
        self._host, self.other = docker_host, f"{instance}x"
        self.ids: list[str] = []
        run_id = "strict.20260101T000000Z.1"
        self.names = [f"{instance}-foreign", f"{instance}.{run_id}", f"{instance}-net", f"{instance}-vol"]
        told = {"instance": instance, "kind": "run", "job": "strict", "run": run_id,
                "instance-id": "0" * 32, "mac": "0" * 64}  # fmt: skip
        looks = {LABEL + key: value for key, value in told.items()}
        with api(docker_host) as client:
            for name, labels in ((self.names[0], {}), (self.names[1], looks)):
                body = client.create_host_config(network_mode="none", init=True)
                made = client.create_container(BUSYBOX, ["sleep", "3600"], name=name, labels=labels, host_config=body)
                client.start(made["Id"])
                self.ids.append(made["Id"])
            self.ids.append(client.create_network(self.names[2])["Id"])
            client.create_volume(self.names[3])
        engine = DockerEngine(
            make_context(folder / "other", self.other), owned=lambda _: False, docker_host=docker_host
        )
        try:
            order = run_order(make_spec("strict", script="sleep 3600", networks=("none",)))
            ref = engine.prepare(order).ref
            engine.launch(order.run_id, ref)
            self.ids.append(ref)
        finally:
            engine.close()

    def touched(self, requests: Sequence[str]) -> list[str]:
        """Requests that would change one of them."""
        return [
            line for line in requests
            if WRITES.match(line) and any(f"/{name}" in line for name in (*self.ids, *self.names))
        ]  # fmt: skip

    def missing(self) -> list[str]:
        """Containers that no longer run. Whoever crashed the Engine must not ask."""
        with api(self._host) as client:
            running = {row["Id"] for row in client.containers()}
        return [ref for ref in (self.ids[0], self.ids[1], self.ids[3]) if ref not in running]

    def remove(self) -> None:
        clean_up(self._host, self.other)
        with api(self._host) as client:
            for row in client.containers(all=True):
                if row["Id"] in self.ids:
                    client.remove_container(row["Id"], force=True, v=True)
            for network in client.networks():
                if network["Id"] in self.ids:
                    client.remove_network(network["Id"])
            client.remove_volume(self.names[3], force=True)

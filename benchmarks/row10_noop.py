"""Row 10: a pass over a fleet that stands: observe, read the ledger, compare. Nothing is to be done."""

from collections.abc import Iterator
from pathlib import Path

import docker

from .docker_lab import lab
from .measure import Budget, Case, Other, timed
from .world import World, desired_of

TITLE = "no-op pass"


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    """The peer that inspects each container takes seconds, so it stands in a case of its own."""
    with lab() as engine:
        for count in (8,) if budget.quick else (50, 1000):
            world = World(engine, folder / f"noop-{count}", f"bench10-{count}", desired_of(count))
            world.apply(world.plan())

            def ours(world=world, count=count) -> None:
                plan = world.plan()
                assert plan.unchanged == count, plan.actions[:2]

            def docker_py(world=world, count=count) -> None:
                client = docker.DockerClient(base_url=engine.docker_host, version="1.41")
                wanted = {"label": f"io.reconciler.instance={world.instance}"}
                assert len(client.containers.list(all=True, filters=wanted)) == count
                client.close()

            listing = Other("one bare listing", timed(lambda w=world: engine.bare[0].listing(w.instance)), 1.5, 0.15)
            peer = Other("docker-py containers.list()", timed(docker_py), 0.1)
            what = f"{count:,} unchanged jobs"
            yield Case(10, what, timed(ours), (listing,), least=20, most=1500)
            yield Case(10, what, timed(ours), (peer,), most=20)
            engine.clear(world.instance, networks=True)
            world.close()

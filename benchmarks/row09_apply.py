"""Row 9: applying a plan of new jobs, ledger and events included, against the bare create requests."""

from collections.abc import Iterator
from pathlib import Path

import docker

from .docker_lab import Lab, lab
from .measure import Budget, Case, Other, timed
from .world import World, desired_of

TITLE = "apply"


def docker_py(engine: Lab, world: World) -> None:
    """What a script with docker's own client does: create one container after the other."""
    client = docker.DockerClient(base_url=engine.docker_host, version="1.41")
    for job in world.desired.jobs.values():
        client.containers.create(
            job.spec.image, list(job.spec.command or ()), name=f"{world.instance}.{job.name.replace('/', '.')}",
            environment=dict(job.spec.environment), network_mode="none", init=True, mem_limit=job.spec.resources.memory,
            pids_limit=job.spec.resources.pids_limit, nano_cpus=int((job.spec.resources.cpus or 0) * 1e9),
            labels={"io.reconciler.instance": world.instance},
        )  # fmt: skip
    client.close()


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    with lab() as engine:
        for count in (8,) if budget.quick else (50, 200):
            world = World(engine, folder / f"apply-{count}", f"bench9-{count}", desired_of(count))
            world.apply(world.plan())  # the owner's network is made once, and stays
            plans = []
            bodies = world.bodies()

            def prepare(world=world, plans=plans, bodies=bodies) -> None:
                world.fresh()
                plans[:] = [world.plan()]

            yield Case(
                9, f"apply {count} new jobs",
                timed(lambda world=world, plans=plans: world.apply(plans[0]), prepare),
                (
                    Other("bare creates, 4 connections", timed(lambda b=bodies: engine.create(b), prepare), 1.15),
                    Other("docker-py loop", timed(lambda w=world: docker_py(engine, w), prepare), 0.5),
                ),
                least=5, most=30,
            )  # fmt: skip
            engine.clear(world.instance, networks=True)
            world.close()

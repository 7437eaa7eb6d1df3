"""The product's own parts, put together as the service does: a fleet's desired state, an engine, a ledger."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from reconciler.apply.execute import apply_plan
from reconciler.apply.outcome import Applied
from reconciler.engine import labels
from reconciler.engine.base import EngineContext
from reconciler.engine.docker import DockerEngine
from reconciler.engine.docker_body import Acquired, create_body
from reconciler.engine.labels import Kind, Mark
from reconciler.history.identity import load_or_create
from reconciler.history.sqlite import open_history
from reconciler.model.desired import DesiredState
from reconciler.model.ids import standing_name
from reconciler.model.plan import Plan
from reconciler.model.service import ServiceConfig
from reconciler.plan.diff import PlanContext, make_plan
from reconciler.spec.desire import desire

from .docker_lab import Lab
from .fleet import snapshot_of, texts


def desired_of(count: int, extra: str = "") -> DesiredState:
    snapshot, blobs = snapshot_of(texts(count, extra=extra))
    desired, _ = desire(snapshot, lambda ids: {blob: blobs[blob] for blob in ids}, ServiceConfig(), {})
    assert len(desired.jobs) == count, desired.problems[:3]
    return desired


class World:
    """One instance on one Engine, with a ledger below `folder`."""

    def __init__(self, lab: Lab, folder: Path, instance: str, desired: DesiredState) -> None:
        self.lab, self.folder, self.instance, self.desired = lab, folder, instance, desired
        self.config = ServiceConfig(instance=instance)
        self.fresh()

    def fresh(self) -> None:
        """Nothing applied: an empty ledger, a new engine object, no container."""
        self.close()
        shutil.rmtree(self.folder / "ledger", ignore_errors=True)
        (self.folder / "ledger").mkdir(parents=True)
        self.lab.clear(self.instance)
        identity = load_or_create(str(self.folder), self.instance)
        self.history = open_history(self.folder / "ledger/reconciler.db")
        self.context = EngineContext(self.instance, identity.instance_id, identity.key, state_dir=str(self.folder))
        self.engine = DockerEngine(self.context, owned=lambda ref: False, docker_host=self.lab.docker_host)

    def close(self) -> None:
        if hasattr(self, "engine"):
            self.engine.close()
            self.history.close()

    def plan(self) -> Plan:
        """Observe and compare, as a pass of the service does."""
        live = self.engine.observe()
        context = PlanContext(now=datetime.now(UTC), preview=self.engine.preview)
        return make_plan(self.desired, live, self.history.standing(), self.config, context)

    def apply(self, plan: Plan) -> Applied:
        done = apply_plan(
            plan, self.engine, self.history, lambda: datetime.now(UTC), self.config, lambda spec, digest: (),
            cancelled=lambda: False, report=self.history.add_events,
        )  # fmt: skip
        assert done.ok, done.results[:2]
        return done

    def bodies(self) -> dict[str, object]:
        """Name -> body of the very requests that applying sends."""
        network = labels.network_name(self.instance, "default")
        found = {}
        for job in self.desired.jobs.values():
            mark = Mark(Kind.STANDING, job.spec.owner, job.name, "", job.digest, self.desired.commit.id)
            networks = () if job.spec.networks == ("none",) else ((network, network),)
            acquired = Acquired(self.lab.image_id, networks=networks)
            marks = labels.write(self.context, mark)
            body = create_body(job.spec, marks, acquired, job.spec.environment, ())
            found[standing_name(self.instance, job.name)] = body
        return found

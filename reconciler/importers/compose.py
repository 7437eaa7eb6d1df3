"""Compose services with a schedule in their labels -> jobs. Services without one are left out."""

from collections.abc import Iterator

from . import later, ofelia
from .compose_service import NETWORKS_OF, SERVICE
from .compose_text import Service, interpolated
from .draft import Batch, Draft, Mapping, Mark, Node, Scalar, Sequence, mark_of
from .fields import Field, Table, guard
from .ini import text_node
from .model import NoteCode
from .schedules import keep_go, keep_zone
from .values import count_of, flag_of, text_of

# A label that says when its service runs, and the one beside it that says in which zone.
SCHEDULE_LABELS = {
    "schedule": "timezone", "cron": "timezone", "cron.schedule": "cron.timezone", "cron-schedule": "cron-timezone",
    "job.schedule": "job.timezone", "swarm.cronjob.schedule": "", "x-schedule": "x-timezone", "x-cron": "x-timezone",
}  # fmt: skip
_SWARM = "swarm.cronjob."
_SCHEDULERS = ("ofelia.", "chadburn.", "deck-chores.", _SWARM)
LABELS = Table[Service]("labels: ", (
    Field("ofelia.JOB-KIND.NAME.*", "a job for each NAME", "as in Ofelia's ini; `chadburn.` too"),
    *(Field[Service](key, "`schedule`" + (f", with `{zone}`" if zone else ""),
                     "a key of the service itself" if key[:2] == "x-" else "")
      for key, zone in SCHEDULE_LABELS.items()),
    Field("swarm.cronjob.enable", "`suspend`", "if it is false, or left out"),
    Field("swarm.cronjob.skip-running", "`concurrency_policy`", "`Forbid`; left out or false it is `Replace`"),
    Field("swarm.cronjob.replicas", "`strategy.parallelism`", ""),
    Field("deck-chores.*", "", "**left out**: a chore runs in the container of the service"),
    Field("other labels", "`labels`", ""),
))  # fmt: skip
TABLES = (LABELS, SERVICE)


def read(batch: Batch, documents: list[Node]) -> None:
    for document in documents:
        if not isinstance(document, Mapping):
            batch.note(mark_of(document), NoteCode.UNREADABLE, "a Compose file is a map")
            continue
        services = document.items.get("services", document)
        if not isinstance(services, Mapping):
            batch.note(mark_of(services), NoteCode.UNREADABLE, "services is not a map")
            continue
        for name, node in services.items.items():
            if isinstance(node, Mapping):
                _service(batch, name, node, document, services.keys[name])


def _service(batch: Batch, name: str, node: Mapping, root: Mapping, at: Mark) -> None:
    labels = _labels(batch, node)
    jobs, own, chores = Mapping(at), Mapping(at), False
    for key, value in labels.items.items():
        chores |= key.startswith("deck-chores.")
        into = jobs if key.startswith(("ofelia.", "chadburn.")) else own
        into.items[key], into.keys[key] = value, labels.keys[key]
    for key in ("x-schedule", "x-cron", "x-timezone"):
        said = node.items.get(key)
        if isinstance(said, Scalar):
            own.items[key], own.keys[key] = text_node(interpolated(said.value)[0], at), node.keys[key]  # type: ignore[arg-type]
    for kind, job, place, values in ofelia.labelled(batch, jobs):
        ofelia.entry(batch, kind, job, place, values, lambda draft: _host(draft, name, node, root, at))
    found = next((key for key in SCHEDULE_LABELS if key in own.items), None)
    if found is not None:
        _scheduled(batch, name, node, root, own, found, at)
    elif chores:
        batch.note(at, NoteCode.NOT_A_JOB, f'the chores of deck-chores on "{name[:80]}" are not read')
    elif not jobs.items:
        batch.note(at, NoteCode.NOT_A_JOB, f'the service "{name[:80]}" has no label with a schedule')


def _labels(batch: Batch, node: Mapping) -> Mapping:
    """Those of the service and of its `deploy`, as a map; `key=value` lists too."""
    found = Mapping(mark_of(node))
    deploy = node.items.get("deploy")
    for source in (node.items.get("labels"), deploy.items.get("labels") if isinstance(deploy, Mapping) else None):
        for key, value, at in _pairs(source):
            text, unknown = interpolated(value)
            if unknown:
                batch.note(
                    at, NoteCode.UNRESOLVED, f"label {key[:80]}: the value of {unknown[0][:80]} is not in this file"
                )
            elif key not in found.items:
                found.items[key], found.keys[key] = text_node(text, at), at  # type: ignore[arg-type]
    return found


def _pairs(node: Node | None) -> Iterator[tuple[str, str, Mark]]:
    if isinstance(node, Mapping):
        for key, value in node.items.items():
            if isinstance(value, Scalar):
                yield key, value.value, node.keys[key]
    elif isinstance(node, Sequence):
        for item in node.items:
            if isinstance(item, Scalar):
                key, _, text = item.value.partition("=")
                yield key, text, mark_of(item)


def _host(draft: Draft, name: str, node: Mapping, root: Mapping, at: Mark) -> None:
    """What a command has round it that runs in the container of a service."""
    said = node.items.get("container_name")
    container = said.value if isinstance(said, Scalar) else name
    if not later.exec_in(
        draft, at, container, f'it ran in the container of the service "{name[:80]}", which was there'
    ):
        service = Service(draft, node, root)
        kept = Mapping(at)
        for key, value in node.items.items():
            if key not in ("command", "entrypoint", "labels"):
                kept.items[key], kept.keys[key] = value, node.keys[key]
        SERVICE.walk(service, draft, kept, "x-")


def _scheduled(batch: Batch, name: str, node: Mapping, root: Mapping, labels: Mapping, key: str, at: Mark) -> None:
    draft = batch.begin(name, at, f'the Compose service "{name}"')
    if draft is None:
        return
    service, place = Service(draft, node, root), labels.keys[key]
    zone_key = SCHEDULE_LABELS[key]
    zone: Node | None = labels.items.get(zone_key) if zone_key else None
    line = labels.items[key]

    def schedule() -> None:
        said = text_of(zone) if zone is not None else ""
        keep_go(
            draft,
            text_of(line),
            place,
            usual_zone="",
            zone=said,
            what="the labels do not say in which zone the times are",
        )

    guard(draft, key, place, schedule)
    if "schedule" not in draft.values:
        draft.keep("schedule", "manual", place)
        keep_zone(draft, place, "", "", "the labels do not say in which zone the times are")
        draft.note(place, NoteCode.BY_HAND, f"{key} holds no schedule", "Give it one.")
    if key.startswith(_SWARM):
        draft.keep("concurrency_policy", "Replace", place)
        draft.keep("suspend", f"{_SWARM}enable" not in labels.items or None, place)
    SERVICE.walk(service, draft, node, "x-")
    for label, value in labels.items.items():
        if label not in (key, zone_key):
            guard(draft, label[:80], labels.keys[label], lambda k=label, v=value: _label(draft, k, v, labels.keys[k]))  # type: ignore[misc]
    batch.once(at, NoteCode.LIMIT, "no run had an end of its own; here the default `timeout` counts")
    if "image" not in draft.values:
        draft.assume_image("the service has no image that can be used here", at)
    if not NETWORKS_OF & node.items.keys():
        draft.note(at, NoteCode.MEANING, "it is not in the network of its project: other services have no names here")


def _label(draft: Draft, key: str, node: Node, at: Mark) -> None:
    if key == f"{_SWARM}enable":
        if not flag_of(node):
            draft.keep("suspend", True, at)
    elif key == f"{_SWARM}skip-running":
        draft.keep("concurrency_policy", "Forbid" if flag_of(node) else "Replace", at)
    elif key == f"{_SWARM}replicas":
        if count_of(node) > 1:
            draft.keep("strategy", {"parallelism": count_of(node)}, at)
    elif key.startswith(_SCHEDULERS):
        draft.note(at, NoteCode.NO_COUNTERPART, key[:120])
    else:
        draft.put("labels", key, text_of(node), at)

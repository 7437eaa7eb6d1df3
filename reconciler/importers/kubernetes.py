"""Kubernetes CronJobs (batch/v1, v1beta1, v2alpha1) and Jobs -> jobs; several documents, and lists."""

from collections.abc import Iterator

from .draft import Batch, Mapping, Mark, Node, Scalar, Sequence, mark_of
from .fields import Field, Read, Table
from .kubernetes_env import Manifest
from .kubernetes_pod import CONTAINER_TABLES, POD, read_pod
from .kubernetes_volumes import VOLUMES
from .model import NoteCode
from .schedules import keep_go
from .values import WrongValue, count_of, flag_of, is_nothing, map_of, seconds, text_of

_POLICIES = {"Allow", "Forbid", "Replace"}
_BACKOFF = {"delay": "10s", "max_delay": "6m"}  # what the Job controller does; it doubles, as ours does
_DEFAULT_BACKOFF = 6


def _schedule(manifest: Manifest, node: Node, at: Mark) -> None:
    zone = manifest.spec_text("timeZone")
    keep_go(manifest.draft, text_of(node), at, usual_zone="UTC", zone=zone,
            what="without `timeZone` a CronJob is in the zone of its controller, nearly always UTC")  # fmt: skip


def _policy(manifest: Manifest, node: Node, at: Mark) -> None:
    if text_of(node) not in _POLICIES:
        raise WrongValue("Allow, Forbid or Replace")
    manifest.draft.keep("concurrency_policy", text_of(node), at)


def _suspend(manifest: Manifest, node: Node, at: Mark) -> None:
    if flag_of(node):
        manifest.draft.keep("suspend", True, at)


def _deadline(manifest: Manifest, node: Node, at: Mark) -> None:
    if count_of(node) > 0:
        manifest.draft.keep("start_deadline", seconds(count_of(node)), at)


def _history(field: str) -> Read[Manifest]:
    def read(manifest: Manifest, node: Node, at: Mark) -> None:
        manifest.draft.put("history", field, count_of(node), at)

    return read


def _timeout(manifest: Manifest, node: Node, at: Mark) -> None:
    manifest.draft.keep("timeout", seconds(count_of(node)), at)
    manifest.draft.note(at, NoteCode.MEANING, "activeDeadlineSeconds bounds all attempts together there; `timeout` "
                        "bounds each")  # fmt: skip


def _backoff(manifest: Manifest, node: Node, at: Mark) -> None:
    limit = count_of(node)
    manifest.draft.keep("retries", {"limit": limit, **_BACKOFF} if limit else 0, at)


def _ttl(manifest: Manifest, node: Node, at: Mark) -> None:
    if count_of(node) > 0:
        manifest.draft.put("history", "keep_for", seconds(count_of(node)), at)


def _parallelism(manifest: Manifest, node: Node, at: Mark) -> None:
    count_of(node)
    if "completions" not in manifest.job.items:
        _completions(manifest, node, at)


def _completions(manifest: Manifest, node: Node, at: Mark) -> None:
    """As many cells, `parallelism` at a time; without completions one that succeeds is enough there."""
    draft, cells, text = manifest.draft, count_of(node), manifest.job_text("parallelism")
    at_once = int(text) if text else 1
    if at_once == 0:
        draft.keep("suspend", True, at)
    if cells <= 1 or not at_once:
        return
    draft.keep("strategy", {"parallelism": cells} | ({"max_parallel": at_once} if at_once < cells else {}), at)
    if manifest.job_text("completionMode") == "Indexed":
        what = "a cell finds its number in RECONCILER_CELL, not in JOB_COMPLETION_INDEX"
    else:
        what = "every one of the cells has to succeed, and has a number"
    draft.note(at, NoteCode.MEANING, f"completions, parallelism: {what}")


def _labels(manifest: Manifest, node: Node, at: Mark) -> None:  # noqa: ARG001
    for key, value in map_of(node).items.items():
        manifest.draft.put("labels", key, text_of(value), map_of(node).keys[key])


def _annotations(manifest: Manifest, node: Node, at: Mark) -> None:  # noqa: ARG001
    for key, value in map_of(node).items.items():
        if key.rpartition("/")[2] == "description":
            manifest.draft.keep("description", " ".join(text_of(value).split())[:1000], map_of(node).keys[key])
        elif not key.startswith("kubectl.kubernetes.io/"):
            message = f"metadata.annotations: {key[:120]}"
            manifest.draft.note(map_of(node).keys[key], NoteCode.NO_COUNTERPART, message)


def _job_template(manifest: Manifest, node: Node, at: Mark) -> None:
    spec = map_of(node).items.get("spec")
    _template_meta(manifest, map_of(node))
    if not isinstance(spec, Mapping):
        manifest.draft.note(at, NoteCode.WRONG_VALUE, "spec.jobTemplate.spec is not a map")
        return
    manifest.job = spec
    JOB.walk(manifest, manifest.draft, spec)


def _template_meta(manifest: Manifest, node: Mapping) -> None:
    """Labels and annotations of the Jobs and pods that a CronJob makes."""
    meta = node.items.get("metadata")
    for key, value in meta.items.items() if isinstance(meta, Mapping) else ():
        if key != "creationTimestamp" and not is_nothing(value) and isinstance(meta, Mapping):
            message = f"metadata.{key[:80]} of the template: a run has the labels of its job"
            manifest.draft.note(meta.keys[key], NoteCode.NO_COUNTERPART, message)


def _template(manifest: Manifest, node: Node, at: Mark) -> None:
    spec = map_of(node).items.get("spec")
    _template_meta(manifest, map_of(node))
    if not isinstance(spec, Mapping):
        manifest.draft.note(at, NoteCode.WRONG_VALUE, "the pod template has no spec that is a map")
        return
    read_pod(manifest, spec)


_IDS = "objects of the cluster"
META = Table[Manifest]("metadata.", (
    Field("name", "the file's name", "made to the rule for job names", silent=True),
    Field("generateName", "the file's name", "", silent=True),
    Field("namespace", "", "choose the folder with `--into`"),
    Field("labels", "`labels`", "", _labels),
    Field("annotations", "`description`", "one whose name ends in `description`; others are not kept", _annotations),
    *(Field(key, "", _IDS, silent=True) for key in
      ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink", "ownerReferences",
       "finalizers")),
))  # fmt: skip
CRON = Table[Manifest]("spec.", (
    Field("schedule", "`schedule`", "a step such as `*/2` of one day field beside another is a range here", _schedule),
    Field("timeZone", "`timezone`", "left out it is UTC, which is written", silent=True),
    Field("concurrencyPolicy", "`concurrency_policy`", "left out it is `Allow`, which is written", _policy),
    Field("suspend", "`suspend`", "", _suspend),
    Field("startingDeadlineSeconds", "`start_deadline`", "left out: until the next slot, at most 12 h", _deadline),
    Field("successfulJobsHistoryLimit", "`history.keep_success`", "", _history("keep_success")),
    Field("failedJobsHistoryLimit", "`history.keep_failed`", "", _history("keep_failed")),
    Field("jobTemplate", "as below", "", _job_template),
))  # fmt: skip
JOB = Table[Manifest]("spec.jobTemplate.spec.", (
    Field("backoffLimit", "`retries`", "left out it is 6, which is written; the waits are the same", _backoff),
    Field("activeDeadlineSeconds", "`timeout`", "of each attempt, not of all", _timeout),
    Field("completions", "`strategy.parallelism`", "", _completions),
    Field("parallelism", "`strategy.max_parallel`", "", _parallelism),
    Field("completionMode", "", "cells are always numbered", silent=True),
    Field("ttlSecondsAfterFinished", "`history.keep_for`", "", _ttl),
    Field("suspend", "`suspend`", "", _suspend),
    Field("backoffLimitPerIndex", "", "`retries` is per cell"),
    Field("maxFailedIndexes", "", "see `strategy.fail_fast`"),
    Field("podFailurePolicy", "", "see `retries.on_exit_codes`"),
    Field("successPolicy", "", "every cell has to succeed"),
    Field("podReplacementPolicy", "", "a retry waits for the end of the attempt before"),
    Field("manualSelector", silent=True), Field("selector", silent=True), Field("managedBy", silent=True),
    Field("template", "as below", "", _template),
))  # fmt: skip
TABLES = (META, CRON, JOB, POD, *CONTAINER_TABLES, VOLUMES)
_ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})


def read(batch: Batch, documents: list[Node]) -> None:
    """Every CronJob, and every Job as one that runs by hand. ConfigMaps of the same file are taken in."""
    found = [node for document in documents for node in _objects(batch, document)]
    configs = {_text(node, "metadata", "name"): node for node in found if _text(node, "kind") == "ConfigMap"}
    for node in found:
        kind = _text(node, "kind")
        if kind in ("CronJob", "Job"):
            _object(batch, node, kind, configs)
        elif kind != "ConfigMap":
            name = _text(node, "metadata", "name")[:80]
            batch.note(mark_of(node), NoteCode.NOT_A_JOB, f'{kind[:40] or "no kind"} "{name}" is no CronJob')


def _objects(batch: Batch, node: Node) -> Iterator[Mapping]:
    """The document, or the items of a list; a list in a list is none that Kubernetes has."""
    if not isinstance(node, Mapping):
        if not (isinstance(node, Scalar) and not node.value):
            batch.note(mark_of(node), NoteCode.UNREADABLE, "an object is a map")
        return
    items = node.items.get("items")
    if not _text(node, "kind").endswith("List") or not isinstance(items, Sequence):
        yield node
        return
    for item in items.items:
        if isinstance(item, Mapping):
            yield item
        else:
            batch.note(mark_of(item), NoteCode.UNREADABLE, "an object is a map")


def _text(node: Node | None, *keys: str) -> str:
    for key in keys:
        node = node.items.get(key) if isinstance(node, Mapping) else None
    return node.value if isinstance(node, Scalar) else ""


def _object(batch: Batch, node: Mapping, kind: str, configs: dict[str, Mapping]) -> None:
    start = mark_of(node)
    name = _text(node, "metadata", "name") or _text(node, "metadata", "generateName").rstrip("-") or kind.lower()
    namespace = _text(node, "metadata", "namespace")
    whole = f"{namespace}/{name}" if namespace else name
    draft = batch.begin(name, start, f'the {kind} "{whole}" of Kubernetes')
    if draft is None:
        return
    spec, meta = node.items.get("spec"), node.items.get("metadata")
    manifest = Manifest(draft, spec if isinstance(spec, Mapping) else Mapping(start), configs)
    draft.keep("schedule", "manual", start)
    draft.keep("retries", {"limit": _DEFAULT_BACKOFF, **_BACKOFF}, start)
    batch.once(start, NoteCode.WRITTEN_OUT, f"a failed job is tried {_DEFAULT_BACKOFF} times again where no "
               "backoffLimit is given")  # fmt: skip
    batch.once(
        start, NoteCode.LIMIT, "without activeDeadlineSeconds a job had no end; here the default `timeout` counts"
    )
    if isinstance(meta, Mapping):
        META.walk(manifest, draft, meta)
    for key in node.items.keys() - _ENVELOPE:
        draft.note(node.keys[key], NoteCode.UNKNOWN_FIELD, f"{key[:80]} is not known")
    if kind == "CronJob":
        draft.keep("concurrency_policy", "Allow", start)
        batch.once(start, NoteCode.WRITTEN_OUT, "runs may overlap (`Allow`) where nothing else is said")
        CRON.walk(manifest, draft, manifest.spec)
        if "schedule" not in manifest.spec.items:
            draft.note(start, NoteCode.BY_HAND, "spec.schedule is missing", "Give it a schedule.")
    else:
        manifest.job = manifest.spec
        JOB.walk(manifest, draft, manifest.spec)
    if "image" not in draft.values:
        draft.assume_image("no container with an image could be read", start)

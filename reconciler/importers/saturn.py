"""Saturn Cloud recipes -> jobs: the current schema (`type`, `spec`) and the older flat one with a `job:` block."""

from collections.abc import Iterator

from .draft import Batch, Mapping, Node, Scalar, Sequence, mark_of
from .model import NoteCode
from .saturn_fields import CURRENT, ENVELOPE, FLAT, FLAT_JOB, TABLES, WORKSPACE, Recipe
from .values import is_nothing

__all__ = ["TABLES", "read"]

_OTHER_KINDS = ("jupyter_server", "rstudio_server", "deployment", "workspace", "dask_cluster")


def read(batch: Batch, documents: list[Node]) -> None:
    """Every job of a recipe, or of a set of recipes."""
    for document in documents:
        for node in _recipes(batch, document):
            _recipe(batch, node)


def _recipes(batch: Batch, node: Node) -> Iterator[Mapping]:
    if isinstance(node, Sequence):
        for item in node.items:
            if isinstance(item, Mapping):
                yield item
            else:
                batch.note(mark_of(item), NoteCode.UNREADABLE, "a recipe is a map")
        return
    if not isinstance(node, Mapping):
        batch.note(mark_of(node), NoteCode.UNREADABLE, "a recipe is a map")
        return
    resources, templates = node.items.get("resources"), node.items.get("templates")
    if not isinstance(resources, Sequence) and not isinstance(templates, Sequence):
        yield node
        return
    for item in resources.items if isinstance(resources, Sequence) else ():
        if isinstance(item, Mapping):
            yield item
    for item in templates.items if isinstance(templates, Sequence) else ():
        inner = item.items.get("resource") if isinstance(item, Mapping) else None
        if isinstance(inner, Mapping):
            yield inner


def _recipe(batch: Batch, root: Mapping) -> None:
    spec, job = root.items.get("spec"), root.items.get("job")
    type_ = root.items.get("type")
    kind = type_.value if isinstance(type_, Scalar) else "job"
    if isinstance(spec, Mapping) and kind == "job":
        _job(batch, root, spec, None)
    elif isinstance(job, Mapping):
        _job(batch, root, root, job)
    else:
        other = next((name for name in _OTHER_KINDS if name in root.items), kind if kind != "job" else "no job")
        message = f"{_name(root, spec)}: a recipe of {other[:40]}, not of a job"
        batch.note(mark_of(root), NoteCode.NOT_A_JOB, message)


def _name(root: Mapping, spec: Node | None) -> str:
    inside = spec if isinstance(spec, Mapping) else root
    node = inside.items.get("name") or root.items.get("name")
    name: str = node.value if isinstance(node, Scalar) else ""
    return name.strip()[:200] or "job"


def _job(batch: Batch, root: Mapping, spec: Mapping, job: Mapping | None) -> None:
    name = _name(root, spec)
    draft = batch.begin(name, mark_of(root), f'the Saturn Cloud recipe "{name}"')
    if draft is None:
        return
    recipe, start = Recipe(draft, root), mark_of(root)
    draft.keep("schedule", "manual", start)
    draft.keep("concurrency_policy", "Allow", start)
    draft.keep("retries", 0 if job is None else 3, start)
    batch.once(start, NoteCode.WRITTEN_OUT, "runs may overlap (`Allow`) where nothing else is said")
    batch.once(start, NoteCode.LIMIT, "no run had an end of its own; here the default `timeout` counts")
    if job is None:
        ENVELOPE.walk(recipe, draft, root)
        CURRENT.walk(recipe, draft, spec)
    else:
        FLAT.walk(recipe, draft, root)
        FLAT_JOB.walk(recipe, draft, job)
    where = spec.items.get("working_directory")
    if where is None or is_nothing(where):
        draft.keep("working_dir", WORKSPACE, start)
    if "image" not in draft.values:
        draft.assume_image("the recipe names no image that can be pulled", start)
    if "script" not in draft.values and "command" not in draft.values:
        draft.note(start, NoteCode.MISSING_PART, "command: the recipe has none, so the image's own is run")

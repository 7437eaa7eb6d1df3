"""Volumes, tmpfs and configs of a Compose service -> volumes and files of a job."""

from typing import Protocol

from .draft import Draft, Mapping, Mark, Node, Scalar, mark_of
from .model import NoteCode
from .values import count_of, flag_of, is_nothing, items_of, map_of, text_of


class Owner(Protocol):
    """The service, as far as it is needed here."""

    draft: Draft

    def text(self, node: Node) -> str: ...
    def part(self, kind: str, name: str) -> Mapping | None: ...


def keep_volumes(service: Owner, node: Node) -> None:
    for item in items_of(node):
        at = mark_of(item)
        if isinstance(item, Scalar):
            source, _, rest = service.text(item).partition(":")
            target, _, mode = rest.partition(":")
            if not rest:
                source, target = "", source
            kind = "bind" if source.startswith(("/", ".", "~")) else "volume"
            _keep(service, at, kind, source, target, "ro" in mode.split(","))
        else:
            _keep_long(service, map_of(item), at)


def _keep_long(service: Owner, item: Mapping, at: Mark) -> None:
    said = {key: service.text(value) for key, value in item.items.items() if isinstance(value, Scalar)}
    read_only = item.items.get("read_only")
    kind = said.get("type", "volume")
    if kind == "tmpfs":
        options = item.items.get("tmpfs")
        inner = map_of(options).items if options is not None else {}
        size = {"size": service.text(inner["size"])} if "size" in inner else {}
        tmpfs = {"type": "tmpfs", "target": said.get("target", "")} | ({"tmpfs": size} if size else {})
        service.draft.add("volumes", tmpfs, at)
        return
    _keep(
        service, at, kind, said.get("source", ""), said.get("target", ""), read_only is not None and flag_of(read_only)
    )


def _keep(service: Owner, at: Mark, kind: str, source: str, target: str, read_only: bool) -> None:
    draft, mode = service.draft, {"read_only": True} if read_only else {}
    target = target.rstrip("/") or "/"
    if kind == "bind" and not source.startswith("/"):
        message = f"volumes: {source[:200]} at {target[:200]} is a path beside the Compose file"
        draft.note(at, NoteCode.MISSING_PART, message, "Put a file of the repository into `files:`.")
    elif kind == "bind":
        draft.add("volumes", {"type": "bind", "source": source, "target": target, **mode}, at)
        draft.note(at, NoteCode.MEANING, f"{target[:200]} is the path {source[:200]} of the host; policy decides")
    elif kind != "volume":
        draft.note(at, NoteCode.MISSING_PART, f"volumes: there is no type {kind[:40]} here")
    elif not source:
        draft.note(at, NoteCode.MISSING_PART, f"volumes: {target[:200]} is an anonymous volume", "Use `type: tmpfs`.")
    else:
        _keep_named(service, at, source, {"target": target, **mode})


def _keep_named(service: Owner, at: Mark, source: str, rest: dict[str, object]) -> None:
    """One with a name of its own is that very volume; of another only the name is kept."""
    part = service.part("volumes", source)
    name = part.items.get("name") if part is not None else None
    external = part.items.get("external") if part is not None else None
    if isinstance(name, Scalar) or (external is not None and not is_nothing(external) and text_of_flag(external)):
        real = service.text(name) if isinstance(name, Scalar) else source
        service.draft.add("volumes", {"source": real, **rest, "external": True}, at)
        return
    service.draft.add("volumes", {"source": source, **rest}, at)
    message = f'the volume "{source[:80]}" is a new one of the owner\'s own, which is empty at first'
    service.draft.note(at, NoteCode.EMPTY_VOLUME, message)


def text_of_flag(node: Node) -> bool:
    """Old files have a map here, with the name in it."""
    return isinstance(node, Mapping) or flag_of(node)


def keep_tmpfs(service: Owner, node: Node, at: Mark) -> None:
    for text in [service.text(node)] if isinstance(node, Scalar) else [service.text(item) for item in items_of(node)]:
        target, _, options = text.partition(":")
        size = next((part[5:] for part in options.split(",") if part.startswith("size=")), "")
        service.draft.add(
            "volumes", {"type": "tmpfs", "target": target, **({"tmpfs": {"size": size}} if size else {})}, at
        )


def keep_configs(service: Owner, node: Node) -> None:
    for item in items_of(node):
        parts = {} if isinstance(item, Scalar) else map_of(item).items
        name = text_of(item) if isinstance(item, Scalar) else text_of(parts["source"]) if "source" in parts else ""
        target = service.text(parts["target"]) if "target" in parts else f"/{name}"
        part = service.part("configs", name)
        content = part.items.get("content") if part is not None else None
        if not isinstance(content, Scalar):
            message = f'configs: what "{name[:80]}" holds is not in this file'
            service.draft.note(mark_of(item), NoteCode.UNRESOLVED, message, "Write it into `files:`.")
            continue
        mode = {"mode": f"{_mode(parts['mode']):04o}"} if "mode" in parts else {}
        service.draft.put("files", target, {"content": service.text(content), **mode}, mark_of(item))


def _mode(node: Node) -> int:
    text = text_of(node)
    return int(text, 8) if text and set(text) <= set("01234567") and text.startswith("0") else count_of(node)

"""The volumes of a pod, as its container mounts them -> volumes and files of a job."""

import re
from collections.abc import Callable

from . import later
from .draft import Draft, Mapping, Mark, Node, Scalar, Sequence, mark_of
from .fields import Field, Table
from .model import NoteCode
from .values import count_of, flag_of, items_of, map_of, size, text_of

_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
Config = Callable[[str], dict[str, Node]]


class Mount:
    """One volumeMount, and the volume that it names."""

    def __init__(self, draft: Draft, mount: Mapping, volume: Mapping, config: Config) -> None:
        self.draft, self.volume, self.config = draft, volume, config
        self.target = _text(mount, "mountPath").rstrip("/") or "/"
        self.path = _text(mount, "subPath")
        read_only = mount.items.get("readOnly")
        self.read_only = read_only is not None and flag_of(read_only)

    @property
    def mode(self) -> dict[str, bool]:
        return {"read_only": True} if self.read_only else {}


def _text(node: Node | None, key: str) -> str:
    found = node.items.get(key) if isinstance(node, Mapping) else None
    return text_of(found) if isinstance(found, Scalar) else ""


def mount_volumes(draft: Draft, mounts: Node, volumes: Node | None, config: Config) -> None:
    by_name = {_text(item, "name"): item for item in volumes.items} if isinstance(volumes, Sequence) else {}
    for item in items_of(mounts):
        name, at = _text(map_of(item), "name"), mark_of(item)
        volume = by_name.get(name)
        if not isinstance(volume, Mapping):
            draft.note(at, NoteCode.WRONG_VALUE, f'volumeMounts: there is no volume "{name[:80]}"')
            continue
        if _text(map_of(item), "subPathExpr") or (_text(map_of(item), "subPath") and "configMap" not in volume.items
                                                  and "secret" not in volume.items):  # fmt: skip
            message = f'volumeMounts: "{name[:80]}" mounts a part of its volume; here it is the whole'
            draft.note(at, NoteCode.MISSING_PART, message)
        mount = Mount(draft, map_of(item), volume, config)
        VOLUMES.walk(mount, draft, volume)


def _empty(mount: Mount, node: Node, at: Mark) -> None:
    limit = _text(node, "sizeLimit")
    volume = {"type": "tmpfs", "target": mount.target} | ({"tmpfs": {"size": size(limit)}} if limit else {})
    mount.draft.add("volumes", volume, at)
    if _text(node, "medium") != "Memory":
        mount.draft.note(
            at, NoteCode.MEANING, f"emptyDir at {mount.target}: a tmpfs, so what is in it counts as memory"
        )


def _claim(mount: Mount, node: Node, at: Mark) -> None:
    name = _NAME.sub("-", _text(node, "claimName")).strip("-.") or "data"
    mount.draft.add("volumes", {"source": name, "target": mount.target, **mount.mode}, at)
    message = f'the claim "{name}" at {mount.target} is a volume of this name, which is empty at first'
    mount.draft.note(at, NoteCode.EMPTY_VOLUME, message)


def _host(mount: Mount, node: Node, at: Mark) -> None:
    source = _text(node, "path")
    mount.draft.add("volumes", {"type": "bind", "source": source, "target": mount.target, **mount.mode}, at)
    mount.draft.note(at, NoteCode.MEANING, f"{mount.target} is the path {source[:200]} of the host; policy decides")


def _config(mount: Mount, node: Node, at: Mark) -> None:
    """The keys that this file tells become files; `items` and `subPath` choose and name them."""
    name = _text(node, "name")
    data, items = mount.config(name), map_of(node).items.get("items")
    wanted = {key: key for key in data}
    if isinstance(items, Sequence):
        wanted = {_text(item, "key"): _text(item, "path") for item in items.items}
    mode = map_of(node).items.get("defaultMode")
    files = {path: data.get(key) for key, path in wanted.items() if not mount.path or path == mount.path}
    found = {path: value for path, value in files.items() if isinstance(value, Scalar)}
    if not found or len(found) < len(files):
        message = f'the ConfigMap "{name[:80]}" at {mount.target} is not, or not whole, in this file'
        mount.draft.note(at, NoteCode.UNRESOLVED, message, "Write its files into `files:`.")
    for path, value in found.items():
        target = mount.target if mount.path else f"{mount.target.rstrip('/')}/{path}"
        mount.draft.put("files", target, {"content": text_of(value), **_mode(mode)}, at)


def _mode(node: Node | None) -> dict[str, str]:
    """YAML's `0555` is octal to Kubernetes, and `365` the same number."""
    if node is None:
        return {}
    text = text_of(node)
    number = int(text, 8) if text.startswith("0") and text.lstrip("0").isdigit() else count_of(node)
    return {"mode": f"{number | 0o444:04o}"}


def _secret(mount: Mount, node: Node, at: Mark) -> None:
    name, items = _text(node, "secretName"), map_of(node).items.get("items")
    keys = [(_text(item, "key"), _text(item, "path")) for item in items.items] if isinstance(items, Sequence) else []
    if not keys and mount.path:
        keys = [(mount.path, mount.path)]
    if not keys:
        message = f'every key of the secret "{name[:80]}" is a file below {mount.target}'
        mount.draft.note(at, NoteCode.SECRET, message, "Name each of them.")
    for key, path in keys:
        target = mount.target if mount.path else f"{mount.target}/{path}"
        what = f'{target} is "{key[:80]}" of the secret "{name[:80]}"'
        later.secret(mount.draft, at, f"{name}-{key}", what, target=target)


_OTHER = "mount it on the host and bind it, or use a volume"
VOLUMES = Table[Mount]("volumes[].", (
    Field("name", silent=True),
    Field("emptyDir", "`volumes` of `type: tmpfs`", "counts as memory", _empty),
    Field("persistentVolumeClaim", "`volumes`", "a new one of the claim's name: copy what the old one holds", _claim),
    Field("hostPath", "`volumes` of `type: bind`", "where policy allows the path", _host),
    Field("configMap", "`files`", "of a ConfigMap in the same file; others are **needed**", _config),
    Field("secret", "`secrets`", "only the names; the values have to be provided", _secret),
    *(Field[Mount](key, "", _OTHER, need=True) for key in
      ("nfs", "projected", "downwardAPI", "csi", "ephemeral", "image", "iscsi", "fc", "cephfs", "azureFile")),
))  # fmt: skip

"""A Kubernetes Job on its way, and the environment of its container."""

import re

from . import later
from .draft import Draft, Mapping, Mark, Node, Scalar, mark_of
from .fields import guard
from .model import NoteCode
from .values import items_of, map_of, text_of

REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


class Manifest:
    """One Job on its way: its draft, the spec that it began with, the job's, and the ConfigMaps of the same file."""

    def __init__(self, draft: Draft, spec: Mapping, configs: dict[str, Mapping]) -> None:
        self.draft, self.spec, self.configs = draft, spec, configs
        self.job: Mapping = Mapping(mark_of(spec))
        self.pod: Mapping = self.job
        self.container: Mapping = self.job
        self.security: Mapping = self.job
        self.elsewhere: set[str] = set()  # variables whose value is not in this file

    def spec_text(self, key: str) -> str:
        return plain(self.spec, key)

    def job_text(self, key: str) -> str:
        """Of a number: only if it is one."""
        text = plain(self.job, key)
        return text if key == "completionMode" or (text.isascii() and text.isdigit() and len(text) < 10) else ""

    def config(self, name: str) -> dict[str, Node]:
        """The data of a ConfigMap, {} if this file has none of the name."""
        data = self.configs[name].items.get("data") if name in self.configs else None
        return data.items if isinstance(data, Mapping) else {}

    def expanded(self, text: str) -> str:
        """`$(NAME)` with its value, where this file tells it; Kubernetes leaves unknown ones as they are."""
        known: dict[str, str] = self.draft.values.get("environment", {})
        return REFERENCE.sub(lambda match: "$" if match[1] is None else known.get(match[1], match[0]), text)


def plain(node: Mapping, key: str) -> str:
    """The text of a key, "" if it has none."""
    found = node.items.get(key)
    return str(found.value) if isinstance(found, Scalar) else ""


def read_environment(manifest: Manifest) -> None:
    """`envFrom` first: what `env` says counts more."""
    container = manifest.container
    for key, read in (("envFrom", _env_from), ("env", _env)):
        node = container.items.get(key)
        if node is not None:
            guard(manifest.draft, key, container.keys[key], lambda n=node, r=read: r(manifest, n))  # type: ignore[misc]


def _env(manifest: Manifest, node: Node) -> None:
    for item in items_of(node):
        name, source = plain(map_of(item), "name"), map_of(item).items.get("valueFrom")
        if isinstance(source, Mapping):
            _value_from(manifest, name, source, mark_of(item))
        else:
            value = map_of(item).items.get("value")
            text = "" if value is None else text_of(value)
            manifest.draft.variable(name, manifest.expanded(text), mark_of(item))


def _value_from(manifest: Manifest, name: str, source: Mapping, at: Mark) -> None:
    kind = next(iter(source.items), "")
    said = source.items.get(kind)
    manifest.elsewhere.add(name)
    if kind == "secretKeyRef" and isinstance(said, Mapping):
        secret, key = plain(said, "name"), plain(said, "key")
        later.secret(manifest.draft, at, f"{secret}-{key}", f'env {name[:80]} is "{key[:80]}" of the secret '
                     f'"{secret[:80]}"', env=name)  # fmt: skip
    elif kind == "configMapKeyRef" and isinstance(said, Mapping):
        found = manifest.config(plain(said, "name")).get(plain(said, "key"))
        if isinstance(found, Scalar):
            manifest.elsewhere.discard(name)
            manifest.draft.variable(name, text_of(found), at)
            return
        what = f'"{plain(said, "key")[:80]}" of the ConfigMap "{plain(said, "name")[:80]}"'
        manifest.draft.note(at, NoteCode.UNRESOLVED, f"env {name[:80]} is {what}", "Write the value.")
    else:
        path = plain(said, "fieldPath") or plain(said, "resource") if isinstance(said, Mapping) else ""
        hint = "A run finds RECONCILER_JOB, RECONCILER_RUN_ID and RECONCILER_SLOT in its environment."
        manifest.draft.note(at, NoteCode.UNRESOLVED, f"env {name[:80]} is {kind[:40]} {path[:120]}".rstrip(), hint)


def _env_from(manifest: Manifest, node: Node) -> None:
    for item in items_of(node):
        prefix = plain(map_of(item), "prefix")
        for kind in ("configMapRef", "secretRef"):
            said = map_of(item).items.get(kind)
            name = plain(said, "name") if isinstance(said, Mapping) else ""
            if said is None:
                continue
            found = manifest.config(name) if kind == "configMapRef" else {}
            for key, value in found.items():
                if isinstance(value, Scalar):
                    manifest.draft.variable(prefix + key, text_of(value), mark_of(item))
            if kind == "secretRef":
                message = f'envFrom: every key of the secret "{name[:80]}" is a variable'
                manifest.draft.note(mark_of(item), NoteCode.SECRET, message, "Name each of them.")
            elif not found:
                message = f'envFrom: the ConfigMap "{name[:80]}" is not in this file'
                manifest.draft.note(mark_of(item), NoteCode.UNRESOLVED, message, "Write its variables.")

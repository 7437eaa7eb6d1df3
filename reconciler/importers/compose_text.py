"""A Compose service on its way; `$` is resolved as Compose does it, from what the file itself says."""

import re

from .draft import Draft, Mapping, Node
from .values import Unresolved, text_of

_DOLLAR = re.compile(r"\$(?:(\$)|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+?])([^{}]*))?\})", re.ASCII)


def interpolated(text: str) -> tuple[str, list[str]]:
    """The text with `$$` as `$` and `${NAME:-default}` as the default; and the names whose value is not in the file."""
    unknown: list[str] = []

    def value(match: re.Match[str]) -> str:
        escaped, plain, braced, operator, other = match.groups()
        if escaped:
            return "$"
        if operator in ("-", ":-"):
            return str(other)
        if operator in ("+", ":+"):
            return ""
        unknown.append(plain or braced)
        return ""

    return _DOLLAR.sub(value, text), unknown


class Service:
    """One service on its way; `root` is the whole file."""

    def __init__(self, draft: Draft, node: Mapping, root: Mapping) -> None:
        self.draft, self.node, self.root = draft, node, root

    def text(self, node: Node) -> str:
        """Raises Unresolved."""
        found, unknown = interpolated(text_of(node))
        if unknown:
            raise Unresolved(unknown[0][:80])
        return found

    def part(self, kind: str, name: str) -> Mapping | None:
        """`volumes`, `networks`, `configs` or `secrets` of the file, by name."""
        parts = self.root.items.get(kind)
        found = parts.items.get(name) if isinstance(parts, Mapping) else None
        return found if isinstance(found, Mapping) else None

"""What the YAML reader makes: a tree that knows where everything stands.

A scalar is libyaml's own event, kept as it came (making another object of it would cost as much as reading it):
`value` is the text as typed, `style` is empty for plain text, which may also mean a number, a boolean or nothing.
"""

from typing import Final, Protocol, cast

from yaml.events import ScalarEvent as Scalar

__all__ = ["Mapping", "Mark", "Node", "Scalar", "Sequence", "locate", "mark_of", "pointer"]


class Mark(Protocol):
    """A place that counts from 0, as libyaml does."""

    line: int
    column: int


class Mapping:
    """`items` in file order; `keys` has the place of each key."""

    __slots__ = ("items", "keys", "start_mark")

    def __init__(self, mark: Mark) -> None:
        self.items: dict[str, Node] = {}
        self.keys: dict[str, Mark] = {}
        self.start_mark: Final = mark


class Sequence:
    __slots__ = ("items", "start_mark")

    def __init__(self, mark: Mark) -> None:
        self.items: list[Node] = []
        self.start_mark: Final = mark


Node = Scalar | Mapping | Sequence


def mark_of(node: Node) -> Mark:
    return cast(Mark, node.start_mark)


def locate(node: Node, tokens: tuple[str, ...], *, key: bool = False) -> tuple[int, int]:
    """Line and column, from 1, of what the path names: its value, or its key if `key`; else the nearest there is."""
    mark = mark_of(node)
    for depth, token in enumerate(tokens):
        if isinstance(node, Mapping) and token in node.items:
            mark = node.keys[token]
            node = node.items[token]
        elif isinstance(node, Sequence) and token.isdecimal() and int(token) < len(node.items):
            node = node.items[int(token)]
            mark = mark_of(node)
        else:
            break
        if depth == len(tokens) - 1 and not key:
            mark = mark_of(node)
    return mark.line + 1, mark.column + 1


def pointer(tokens: tuple[str, ...]) -> str:
    """A JSON pointer: `("files", "/app/x")` -> `/files/~1app~1x`."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)

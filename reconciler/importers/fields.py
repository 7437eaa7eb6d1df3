"""Tables of the fields of a foreign format: what each becomes. The code walks them; docs/import.md is made of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..spec.nodes import Mapping as MapNode
from ..spec.nodes import Mark, Node, Scalar
from .draft import Draft
from .model import NoteCode
from .values import Unresolved, WrongValue, is_nothing

C = TypeVar("C")
Read = Callable[[C, Node, Mark], None]


@dataclass(frozen=True)
class Field(Generic[C]):
    """One field. `becomes` and `remark` are for the page, `remark` for the note as well.

    `read` keeps it; without one it is noted, as a part that the job needs if `need`. `idle`: values that mean nothing
    but the default there. `silent`: it tells nothing about the job.
    """

    key: str
    becomes: str = ""
    remark: str = ""
    read: Read[C] | None = None
    need: bool = False
    idle: tuple[str, ...] = ("false",)
    silent: bool = False


@dataclass(frozen=True)
class Table(Generic[C]):
    """The fields of one map of the format. `prefix` as it is written before each, such as `spec.`."""

    prefix: str
    fields: tuple[Field[C], ...]

    def get(self, key: str) -> Field[C] | None:
        """The field; one that ends in `*` is a family."""
        for field in self.fields:
            if field.key == key or (field.key[-1:] == "*" and key.startswith(field.key[:-1])):
                return field
        return None

    def walk(self, context: C, draft: Draft, node: MapNode, open_prefix: str | None = None) -> None:
        """Every key of a map is kept or noted. `open_prefix`: keys that begin so are the user's own."""
        for key, value in node.items.items():
            at = node.keys[key]
            field = self.get(key)
            if field is None:
                if open_prefix is None or not key.startswith(open_prefix):
                    draft.note(at, NoteCode.UNKNOWN_FIELD, f"{self.prefix}{key[:80]} is not known")
            elif not field.silent and (not is_nothing(value) or key in ("command", "entrypoint")):
                _apply(context, draft, field, self.prefix, key, value, at)


def _apply(context: C, draft: Draft, field: Field[C], prefix: str, key: str, value: Node, at: Mark) -> None:
    """Keep one value, or note why not."""
    if field.read is not None:
        guard(draft, prefix + field.key, at, lambda read=field.read: read(context, value, at))  # type: ignore[misc]
    elif not (isinstance(value, Scalar) and value.value in field.idle):
        code = NoteCode.MISSING_PART if field.need else NoteCode.NO_COUNTERPART
        draft.note(at, code, f"{prefix}{key[:80]}: {field.remark}" if field.remark else f"{prefix}{key[:80]}")


def guard(draft: Draft, name: str, at: Mark, read: Callable[[], None]) -> None:
    """`read`; a value of the wrong kind becomes a note."""
    try:
        read()
    except Unresolved as unresolved:
        draft.note(
            at, NoteCode.UNRESOLVED, f"{name}: the value of {unresolved} is not in this file", "Write the value."
        )
    except WrongValue as wrong:
        draft.note(at, NoteCode.WRONG_VALUE, f"{name} is not {wrong}")


def into(field: str, convert: Callable[[Node], object], draft_of: Callable[[C], Draft]) -> Read[C]:
    """The commonest `read`: one value becomes one field."""

    def read(context: C, node: Node, at: Mark) -> None:
        draft_of(context).keep(field, convert(node), at)

    return read

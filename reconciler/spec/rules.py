"""In: a JSON Schema of ours. Out: a compiled walk that types a tree of nodes and tells whether it is valid.

Reading is directed by the schema anyway (rule S4: a scalar is what the schema says), so the same walk is the fast gate:
what passes here is valid, what fails is shown to `jsonschema` for its reasons. A property test keeps the two agreed.
Only the keywords in use are known; any other is refused when compiling, so that none is silently ignored.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .nodes import Mapping, Node, Scalar, Sequence

Faults = list[Node]  # where the walk met something invalid
TextRule = Callable[[Scalar, Faults], object]
TextCheck = Callable[[str], object]

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
MAX_NUMBER = 64  # characters; more than the longest number below
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?(?:[eE][-+]?[0-9]{1,2})?\Z", re.ASCII)

_ANNOTATIONS = {"title", "description", "examples", "default", "patternErrorMessage", "$schema", "$defs"}
_SCALAR_KEYS = {"enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum"}
_MAP_KEYS = {"properties", "required", "additionalProperties", "propertyNames", "minProperties", "maxProperties"}
_LIST_KEYS = {"items", "minItems", "maxItems"}
_KNOWN = _ANNOTATIONS | _SCALAR_KEYS | _MAP_KEYS | _LIST_KEYS | {"type", "anyOf", "$ref"}


class MapRule:
    """`fields` by key; `rest` for other keys, None = there are none."""

    __slots__ = ("bounded", "fields", "is_key", "key_fits", "max_size", "min_size", "required", "rest")

    def __init__(self, schema: dict[str, Any], root: dict[str, Any]) -> None:
        properties = schema.get("properties", {})
        # The schema's own key object is handed on with each rule, so that a fleet of specs shares one.
        self.fields = {key: (key, compile_rule(sub, root)) for key, sub in properties.items()}
        rest = schema.get("additionalProperties", False)
        self.rest = compile_rule(rest, root) if isinstance(rest, dict) else None
        self.required = frozenset(schema.get("required", ()))
        self.min_size: int = schema.get("minProperties", 0)
        self.max_size: int = schema.get("maxProperties", 1 << 30)
        self.bounded = bool(schema.keys() & {"required", "minProperties", "maxProperties"})
        self.key_fits = _text_check(schema.get("propertyNames", {}))
        self.is_key = lru_cache(maxsize=512)(self._is_key)  # a fleet uses the same few names again and again

    def read(self, node: Mapping, faults: Faults) -> dict[str, object]:
        values: dict[str, object] = {}
        fields, rest = self.fields, self.rest
        for key, sub in node.items.items():
            known = fields.get(key)
            if known is not None:
                name, rule = known
                read = rule.text if type(sub) is Scalar else None  # the common case, without a further call
                values[name] = read(sub, faults) if read is not None else rule.read(sub, faults)  # type: ignore[arg-type]
            elif rest is None:
                faults.append(sub)
                values[key] = None
            else:
                if not self.key_fits(key):
                    faults.append(sub)
                read = rest.text if type(sub) is Scalar else None
                values[key] = read(sub, faults) if read is not None else rest.read(sub, faults)  # type: ignore[arg-type]
        if not self.complete(values):
            faults.append(node)
        return values

    def _is_key(self, key: str) -> bool:
        """Is it plainly a key of the rest? Of those left over, `yamlread` decides."""
        return bool(self.key_fits(key)) and key.isprintable() and key != "<<"

    def complete(self, values: dict[str, object]) -> bool:
        """Neither too few keys nor too many, and all that are needed."""
        return self.min_size <= len(values) <= self.max_size and self.required <= values.keys()


class ListRule:
    __slots__ = ("item", "max_size", "min_size")

    def __init__(self, schema: dict[str, Any], root: dict[str, Any]) -> None:
        self.item = compile_rule(schema["items"], root)
        self.min_size: int = schema.get("minItems", 0)
        self.max_size: int = schema.get("maxItems", 1 << 30)

    def read(self, node: Sequence, faults: Faults) -> list[object]:
        if not self.min_size <= len(node.items) <= self.max_size:
            faults.append(node)
        read, text = self.item.read, self.item.text
        if text is None:
            return [read(item, faults) for item in node.items]
        return [text(item, faults) if type(item) is Scalar else read(item, faults) for item in node.items]


class Rule:
    """At most one way to read each kind of node; None = that kind does not belong here.

    `fits`: where any scalar but nothing at all is text, the check of that text; `text` does the same and more.
    """

    __slots__ = ("fits", "list", "map", "text")

    def __init__(
        self, text: TextRule | None, map_: MapRule | None, list_: ListRule | None, fits: TextCheck | None = None
    ) -> None:
        self.text, self.map, self.list, self.fits = text, map_, list_, fits

    def read(self, node: Node, faults: Faults) -> object:
        """The typed value. Where the kind is wrong, a value of that wrong kind, and a fault."""
        if isinstance(node, Scalar):
            if self.text is not None:
                return self.text(node, faults)
            faults.append(node)
            return _bare(node)
        if isinstance(node, Mapping):
            if self.map is not None:
                return self.map.read(node, faults)
            faults.append(node)
            return {}
        if self.list is not None:
            return self.list.read(node, faults)
        faults.append(node)
        return []


def _bare(node: Scalar) -> object:
    """A scalar where a map or list belongs: nothing, or text that no schema of ours shows back."""
    return None if node.value in NULLS and not node.style else node.value


def compile_rule(schema: dict[str, Any], root: dict[str, Any]) -> Rule:
    """The rule of a schema. Raises ValueError on a keyword that is not known here."""
    unknown = schema.keys() - _KNOWN
    if unknown:
        raise ValueError(f"the schema uses {sorted(unknown)}, which the reader does not know")
    if "$ref" in schema:
        return compile_rule(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in schema:
        return _merged([compile_rule(option, root) for option in schema["anyOf"]])
    types = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    if types == {"object"}:
        return Rule(None, MapRule(schema, root), None)
    if types == {"array"}:
        return Rule(None, None, ListRule(schema, root))
    if "string" in types:
        fits = _text_check(schema)
        return Rule(_text_rule(fits), None, None, fits)
    (only,) = types
    return Rule({"boolean": _boolean_rule, "integer": _integer_rule, "number": _number_rule}[only](schema), None, None)


def _merged(options: list[Rule]) -> Rule:
    """`anyOf`: one option for each kind of node, so that the kind decides and the message is about the right one."""
    texts = [option.text for option in options if option.text is not None]
    maps = [option.map for option in options if option.map is not None]
    lists = [option.list for option in options if option.list is not None]
    if max(len(texts), len(maps), len(lists)) > 1:
        raise ValueError("anyOf holds two options for one kind of value")
    fits = next((option.fits for option in options if option.fits is not None), None)
    return Rule(texts[0] if texts else None, maps[0] if maps else None, lists[0] if lists else None, fits)


def any_text(text: str) -> bool:  # noqa: ARG001
    """The check of a text without bounds; known by identity, so that it need not be called."""
    return True


def _text_check(schema: dict[str, Any]) -> TextCheck:
    """`enum`, `pattern` and lengths of a text, with as few calls as they need."""
    keywords = schema.keys() & {"enum", "pattern", "minLength", "maxLength"}
    fits = re.compile(schema["pattern"]).search if "pattern" in schema else any_text
    if keywords <= {"pattern"}:
        return fits
    if keywords == {"enum"}:
        return frozenset(schema["enum"]).__contains__
    allowed = frozenset(schema["enum"]) if "enum" in schema else None
    low, high = schema.get("minLength", 0), schema.get("maxLength", 1 << 30)

    def check(text: str) -> bool:
        return low <= len(text) <= high and fits(text) is not None and (allowed is None or text in allowed)

    return check


def _text_rule(fits: TextCheck) -> TextRule:
    """Text as typed, quoted or not; only a plain `null`, `~` or nothing at all is no text."""

    def read(node: Scalar, faults: Faults) -> object:
        text: str = node.value
        if not node.style and text in NULLS:
            faults.append(node)
            return None
        if not fits(text):
            faults.append(node)
        return text

    return read


def _boolean_rule(schema: dict[str, Any]) -> TextRule:  # noqa: ARG001  has no bounds
    def read(node: Scalar, faults: Faults) -> object:
        value = None if node.style else _BOOLEANS.get(node.value)
        if value is None:
            faults.append(node)
            return _bare(node)
        return value

    return read


def _integer_rule(schema: dict[str, Any]) -> TextRule:
    return _numeric(schema, _INTEGER, int)


def _number_rule(schema: dict[str, Any]) -> TextRule:
    return _numeric(schema, _NUMBER, float)


def _numeric(schema: dict[str, Any], shape: re.Pattern[str], convert: Callable[[str], float]) -> TextRule:
    """Decimal, finite, unquoted. No octal, no underscores, no `.inf`."""
    low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
    above = schema.get("exclusiveMinimum", float("-inf"))
    allowed = frozenset(schema["enum"]) if "enum" in schema else None

    @lru_cache(maxsize=256)  # a fleet uses the same few numbers again and again
    def number(text: str) -> tuple[float | None, bool]:
        """The number, if it is one, and whether it is within the bounds."""
        if shape.match(text) is None:
            return None, False
        value = convert(text)
        return value, low <= value <= high and value > above and (allowed is None or value in allowed)

    def read(node: Scalar, faults: Faults) -> object:
        value, good = (None, False) if node.style or len(node.value) > MAX_NUMBER else number(node.value)
        if not good:
            faults.append(node)
        return _bare(node) if value is None else value

    return read

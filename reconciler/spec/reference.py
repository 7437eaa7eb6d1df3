"""In: a schema. Out: its reference page in Markdown. Pure text; a test keeps the committed pages equal to it."""

import json
from collections.abc import Iterator
from typing import Any

from .schemas import SchemaName, schema

_INTRO = {
    "job": """\
A job file is YAML below the jobs directory; the job is named by its path without the suffix. A `_defaults.yaml` in a
folder takes the same fields, and holds for every job file at and below it: scalars and lists replace, maps merge by
key. `schedule` and `image` (or `exec_in`) are needed in one of them. Every other field may be left out.

For completion and checks in an editor, begin a file with
`# yaml-language-server: $schema=./job.schema.json`; `reconciler schema job` prints the schema.

How text is read: in a field of text the characters count as typed (`NO`, `1.10`, `0644`), with or without quotes.
Nothing is substituted. Anchors, aliases, tags, keys given twice and unknown keys are refused.
""",
    "service": """\
The service file lies on the host, outside the job repository, and rules over it. It is YAML and read as strictly as a
job file. Every field may be left out, and so may the file. `reconciler schema service` prints the schema.
""",
}
_TITLE = {"job": "Job files", "service": "The service file"}
_KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list",
          "object": "map"}  # fmt: skip


def reference_page(name: SchemaName) -> str:
    """The whole page, with a newline at its end."""
    root = schema(name)
    parts = [
        f"# {_TITLE[name]}\n",
        "<!-- Made from the schema by reconciler/spec/reference.py; not edited by hand. -->\n",
    ]
    parts.append(_INTRO[name])
    parts.append(_code(root["examples"][0]))
    for field, about in root["properties"].items():
        parts += _field(field, about, root, level=2)
    return "\n".join(parts)


def _field(name: str, about: dict[str, Any], root: dict[str, Any], level: int) -> Iterator[str]:
    """The section of one field, and the sections of the fields within it."""
    yield f"{'#' * level} `{name}`\n"
    yield about["description"] + "\n"
    facts = [_kind(about, root)]
    if "default" in about:
        facts.append(f"default {_inline(about['default'])}")
    facts += _bounds(about)
    yield f"*{'; '.join(facts)}*\n"
    yield _code(*({name.rpartition(".")[2]: example} for example in about["examples"]))
    for key, inner in dict(_inner(about, root)).items():  # a map that may stand alone or in a list is one
        yield from _field(f"{name}.{key}", inner, root, min(level + 1, 4))


def _resolved(about: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in about:
        return about
    target: dict[str, Any] = root["$defs"][about["$ref"].removeprefix("#/$defs/")]
    return target


def _options(about: dict[str, Any], root: dict[str, Any]) -> list[dict[str, Any]]:
    resolved = _resolved(about, root)
    return [_resolved(option, root) for option in resolved.get("anyOf", [resolved])]


def _kind(about: dict[str, Any], root: dict[str, Any]) -> str:
    """`text`, `list of text`, `whole number or map`; of several spellings of text, `text`."""
    if about.get("$ref") in ("#/$defs/duration", "#/$defs/size"):
        return str(about["$ref"]).rpartition("/")[2]
    kinds = []
    for option in _options(about, root):
        types = [option["type"]] if isinstance(option["type"], str) else option["type"]
        kind = "text" if "string" in types else _KINDS[types[0]]
        if kind == "list":
            kind = f"list of {_kind(option['items'], root)}".replace("list of text or map", "list of texts or maps")
        kinds.append(" or ".join(f"`{value}`" for value in option["enum"]) if "enum" in option else kind)
    return " or ".join(dict.fromkeys(kinds))


def _bounds(about: dict[str, Any]) -> Iterator[str]:
    words = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
    yield from (f"{text} {about[key]}" for key, text in words.items() if key in about)


def _inner(about: dict[str, Any], root: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of the maps that this field is, or holds. Shared ones are explained where they are first met."""
    for option in _options(about, root):
        if option["type"] == "array":
            yield from _inner(option["items"], root)
        elif option["type"] == "object":
            yield from option.get("properties", {}).items()
            rest = option.get("additionalProperties")
            if isinstance(rest, dict) and _resolved(rest, root).get("type") == "object":
                yield from ((f"*.{key}", inner) for key, inner in _inner(rest, root))


def _inline(value: object) -> str:
    return f"`{json.dumps(value) if not isinstance(value, str) else value}`"


def _code(*examples: dict[str, Any]) -> str:
    """Each example as YAML of the plain kind that these files use."""
    lines = "\n".join(line for example in examples for line in _yaml(example))
    return f"```yaml\n{lines}\n```\n"


def _yaml(value: dict[str, Any]) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, str) and "\n" in item:
            yield f"{key}: |"
            yield from (f"  {line}" for line in item.rstrip("\n").split("\n"))
        else:
            yield f"{key}: {_flow(item)}"


def _flow(value: object) -> str:
    """Flow style; text is quoted where YAML would read it otherwise."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    plain = bool(value) and value[0].isalnum() and not set(value) & set(",[]{}#&*!|>%@`'\"\n") and ": " not in value
    return value if plain and value not in ("true", "false", "null") else json.dumps(value, ensure_ascii=False)

"""In: data that does not fit its schema. Out: a sentence for each thing that is wrong, with its place and a hint.

`jsonschema` finds what is wrong; the words are ours, since its own show values (rule S4: never those of an
environment, a script or an address).
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry

from ..model.problem import SpecProblem
from .nodes import Mapping, Node, locate, mark_of, pointer
from .rules import Faults
from .schemas import SchemaName, schema

MAX_PROBLEMS = 100  # of one file
_SHOWN = 60  # characters of a value
_KIND = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "a map",
}  # fmt: skip
# Fields whose values are never shown, by their first key.
_HIDDEN = frozenset(
    {
        "environment",
        "script",
        "start_script",
        "command",
        "entrypoint",
        "files",
        "source",
        "git",
        "registries",
        "docker_host",
        "packages",
    }
)
# What people bring from neighbouring formats, where the nearest spelling would mislead.
_ELSEWHERE = {
    "env": "environment", "envs": "environment", "cron": "schedule", "args": "command", "cmd": "command",
    "tz": "timezone", "memory": "resources", "cpus": "resources", "mem_limit": "resources", "mounts": "volumes",
    "concurrency": "concurrency_policy", "concurrencyPolicy": "concurrency_policy", "workdir": "working_dir",
    "activeDeadlineSeconds": "timeout", "startingDeadlineSeconds": "start_deadline", "backoffLimit": "retries",
    "deploy": "resources", "network": "networks", "network_mode": "networks", "tmpfs": "volumes",
    "shm_size": "resources", "pids_limit": "resources", "configs": "files", "enabled": "suspend", "disabled": "suspend",
}  # fmt: skip

Error = Any  # jsonschema.ValidationError, whose types say less than is known here


@lru_cache(maxsize=4)
def _validator(name: SchemaName) -> Draft202012Validator:
    # An empty registry: a `$ref` that is not in the schema itself is an error, never a fetch.
    return Draft202012Validator(schema(name), registry=Registry())


def is_valid(data: object, name: SchemaName) -> bool:
    """What jsonschema alone says."""
    return bool(_validator(name).is_valid(data))


def explain(data: object, root: Mapping, path: str, name: SchemaName, faults: Faults) -> list[SpecProblem]:
    """Every problem of `data`, in file order; at least one."""
    problems: set[SpecProblem] = set()
    for error in _validator(name).iter_errors(data):
        problems.update(_explained(error, root, path))
        if len(problems) >= MAX_PROBLEMS:
            break
    if not problems:  # the two ways of checking disagree: a fault of ours, but the file is safe to refuse
        mark = mark_of(faults[0])
        problems.add(SpecProblem(path, mark.line + 1, mark.column + 1, "schema", "this value is not allowed here"))
    return sorted(problems)


def _explained(error: Error, root: Mapping, path: str) -> Iterator[SpecProblem]:
    tokens = tuple(str(token) for token in error.absolute_path)
    if error.validator == "anyOf":
        inner = _meant(error)
        if inner:
            for sub in inner:
                yield from _explained(sub, root, path)
            return
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        for key in error.instance.keys() - error.schema.get("properties", {}).keys():
            line, column = locate(root, (*tokens, key), key=True)
            hint = _nearest_key(key, tuple(error.schema.get("properties", {})))
            message = f'unknown key "{key[:80]}"' + (f" in {_name(tokens)}" if tokens else "")
            yield SpecProblem(path, line, column, "unknown-key", message, hint, pointer((*tokens, key)))
        return
    if "propertyNames" in error.absolute_schema_path:
        tokens, key = (*tokens, str(error.instance)), True
    else:
        key = False
    line, column = locate(root, tokens, key=key)
    code, message, hint = _sentence(error, tokens, _at(root, tokens))
    yield SpecProblem(path, line, column, code, message, hint, pointer(tokens))


def _meant(error: Error) -> list[Error]:
    """The errors of the one option that is of the value's kind; none if it is of no option's kind."""
    options: dict[Any, list[Error]] = {}
    for sub in error.context or ():
        options.setdefault(sub.schema_path[0], []).append(sub)
    for subs in options.values():
        if not any(sub.validator == "type" and len(sub.path) == 0 for sub in subs):
            return subs
    return []


def _at(root: Node, tokens: Sequence[str]) -> Node | None:
    node: Node | None = root
    for token in tokens:
        if isinstance(node, Mapping):
            node = node.items.get(token)
        else:
            items = getattr(node, "items", ())
            node = items[int(token)] if token.isdecimal() and int(token) < len(items) else None
    return node


def _name(tokens: Sequence[str]) -> str:
    """`("retries", "on_exit_codes", "0")` -> `retries.on_exit_codes[0]`; keys as they are typed."""
    text = ""
    for token in tokens:
        text += f"[{token}]" if token.isdecimal() and text else ("." if text else "") + token[:80]
    return text or "the file"


def _nearest_key(key: str, known: tuple[str, ...]) -> str:
    wanted = _ELSEWHERE.get(key)
    near = [wanted] if wanted in known else get_close_matches(key.lower().replace("-", "_"), known, 1, 0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    return "known keys: " + ", ".join(known) if len(known) <= 12 else ""


def _sentence(error: Error, tokens: tuple[str, ...], node: Node | None) -> tuple[str, str, str]:
    """`(code, message, hint)` of an error, without the value unless its field is harmless."""
    what, wanted, rule = _name(tokens), error.validator_value, error.schema
    shown = _shown(error.instance, tokens)
    if error.validator in ("type", "anyOf"):
        return _wrong_type(error, what, node)
    if error.validator == "enum":
        hint = get_close_matches(str(error.instance), [str(item) for item in wanted], 1, 0.5)
        words = ", ".join(str(item) for item in wanted[:-1]) + f" or {wanted[-1]}" if wanted[1:] else str(wanted[0])
        return "value-unknown", f"{what} must be {words}{shown}", f'did you mean "{hint[0]}"?' if hint else ""
    if error.validator == "pattern":
        says = rule.get("patternErrorMessage", "does not have the right form")
        return "value-invalid", f"{what} {says}{shown}", _pattern_hint(error.instance)
    if error.validator == "required":
        missing = " and ".join(f'"{key}"' for key in wanted if key not in error.instance)
        return "field-missing", f"{what} needs {missing}", ""
    texts = {
        "minimum": ("value-out-of-range", f"{what} must be at least {wanted}{shown}"),
        "exclusiveMinimum": ("value-out-of-range", f"{what} must be more than {wanted}{shown}"),
        "maximum": ("value-out-of-range", f"{what} must be at most {wanted}{shown}"),
        "minLength": ("value-empty", f"{what} must not be empty"),
        "maxLength": ("value-too-long", f"{what} is longer than {wanted} characters"),
        "minItems": ("value-empty", f"{what} must not be empty"),
        "maxItems": ("value-too-long", f"{what} has more than {wanted} entries"),
        "minProperties": ("value-empty", f"{what} must not be empty"),
        "maxProperties": ("value-too-long", f"{what} has more than {wanted} entries"),
    }
    code, message = texts.get(str(error.validator), ("schema", f"{what} is not allowed like this"))
    return code, message, ""


def _wrong_type(error: Error, what: str, node: Node | None) -> tuple[str, str, str]:
    kinds = _kinds(error)
    if error.instance is None:
        return "value-missing", f"{what} has no value", "Give it one, remove the line, or write '' for empty text."
    wanted = " or ".join(text for kind, text in _KIND.items() if kind in kinds)
    hint = ""
    style = getattr(node, "style", None)
    text = error.instance if isinstance(error.instance, str) else ""
    if "boolean" in kinds and text.lower() in ("yes", "on", "y", "no", "off", "n"):
        hint = f"Write {'true' if text.lower() in ('yes', 'on', 'y') else 'false'}."
    elif style and text and kinds & {"integer", "number", "boolean"}:
        hint = "Remove the quotes."
    elif kinds & {"integer", "number"} and text:
        hint = "Decimal digits only: no unit, no leading zero, no underscore."
    elif kinds == {"array"} and text:
        hint = "Put it into a list: [ ... ]"
    return "wrong-type", f"{what} must be {wanted}", hint


def _kinds(error: Error) -> set[str]:
    """The types that would do; where text would, numbers are only its other spelling."""
    kinds: set[str] = set()
    options = error.validator_value if error.validator == "anyOf" else [error.schema]
    for option in options:
        own = option.get("type", "object" if "$ref" in option else "string")  # only maps are shared by options
        kinds |= {own} if isinstance(own, str) else {"string"} if "string" in own else set(own)
    return kinds


def _shown(value: object, tokens: tuple[str, ...]) -> str:
    if not isinstance(value, str | int | float) or not tokens or tokens[0] in _HIDDEN:
        return ""
    text = str(value)
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return f", not {text!a}" if not text.isprintable() else f', not "{text}"'


def _pattern_hint(value: object) -> str:
    if isinstance(value, str) and "$" in value:
        return "Nothing is substituted in job files: write the value out."
    return ""

"""Promise: the schemas, the JobSpec and the ServiceConfig say the same fields, and every field explains itself."""

import dataclasses
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry

from reconciler.model.job import HistoryLimits, JobSpec, Mount, Resources, Retries
from reconciler.model.service import (
    Credential,
    GitConfig,
    Limits,
    Owner,
    Person,
    Policy,
    ServiceConfig,
    SourceConfig,
    Total,
)
from reconciler.model.service import Registry as RegistryLogin
from reconciler.spec.rules import compile_rule
from reconciler.spec.schemas import schema, schema_text

NAMES = ("job", "service")


def fields_of(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def test_the_job_schema_has_the_fields_of_the_job_spec() -> None:
    said = set(schema("job")["properties"])
    # In a file the zone and the clock rule stand beside the schedule; mounts are called volumes, as in Compose.
    assert said - {"version", "timezone", "dst", "volumes"} == fields_of(JobSpec) - {"mounts"}


def test_the_service_schema_has_the_fields_of_the_service_config() -> None:
    assert set(schema("service")["properties"]) == fields_of(ServiceConfig)


def option(of: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(item for item in of["anyOf"] if item["type"] == kind)


JOB, SERVICE = schema("job")["properties"], schema("service")["properties"]
PARTS = {
    "resources": (set(JOB["resources"]["properties"]) - {"size"}, fields_of(Resources)),
    "retries": (set(option(JOB["retries"], "object")["properties"]), fields_of(Retries)),
    "history": (set(JOB["history"]["properties"]), fields_of(HistoryLimits)),
    "volumes": (
        set(option(JOB["volumes"]["items"], "object")["properties"]) | {"size", "mode"},
        fields_of(Mount) | {"tmpfs"},
    ),
    "source": (set(SERVICE["source"]["properties"]), fields_of(SourceConfig)),
    "git": (set(SERVICE["git"]["properties"]), fields_of(GitConfig)),
    "deploy keys": (set(SERVICE["git"]["properties"]["deploy_keys"]["items"]["properties"]), {"url", "key_file"}),
    "tokens": (
        set(SERVICE["git"]["properties"]["tokens"]["items"]["properties"]),
        fields_of(Credential) - {"key_file"},
    ),
    "registries": (set(SERVICE["registries"]["additionalProperties"]["properties"]), fields_of(RegistryLogin)),
    "limits": (set(SERVICE["limits"]["properties"]), fields_of(Limits)),
    "policy": (set(schema("service")["$defs"]["policy"]["properties"]), fields_of(Policy)),
    "sizes": (set(schema("service")["$defs"]["resources"]["properties"]), fields_of(Resources)),
    "owners": (set(SERVICE["owners"]["additionalProperties"]["properties"]), fields_of(Owner) - {"name"}),
    "people": (set(SERVICE["people"]["additionalProperties"]["properties"]), fields_of(Person) - {"name"}),
    "totals": (set(SERVICE["owners"]["additionalProperties"]["properties"]["total"]["properties"]), fields_of(Total)),
}


@pytest.mark.parametrize(("said", "known"), PARTS.values(), ids=PARTS)
def test_no_part_of_a_schema_drifts_from_its_dataclass(said: set[str], known: set[str]) -> None:
    assert said == known


def walk(part: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of every object, with its path."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "properties" and isinstance(value, dict):
                yield from ((f"{path}/{name}", sub) for name, sub in value.items())
            if key not in ("examples", "default", "enum"):
                yield from walk(value, f"{path}/{key}")
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from walk(value, f"{path}/{index}")


FIELDS = [(f"{name}{path}", name, sub) for name in NAMES for path, sub in walk(schema(name), "")]


@pytest.mark.parametrize(("name", "field"), [f[1:] for f in FIELDS], ids=[f[0] for f in FIELDS])
def test_every_field_has_a_description_and_examples_that_fit_it(name: str, field: dict[str, Any]) -> None:
    assert re.fullmatch(r"[A-Z`].*[.!]", field["description"]), "a sentence"
    assert field["examples"]
    validator = Draft202012Validator({**field, "$defs": schema(name)["$defs"]}, registry=Registry())
    for example in field["examples"] + ([field["default"]] if "default" in field else []):
        validator.validate(example)


@pytest.mark.parametrize("name", NAMES)
def test_the_schemas_are_schemas_and_their_own_examples_fit(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    for example in schema(name)["examples"]:
        Draft202012Validator(schema(name), registry=Registry()).validate(example)


@pytest.mark.parametrize("name", NAMES)
def test_every_object_is_closed(name: str) -> None:
    def objects(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict):
            if part.get("type") == "object":
                yield part
            for key, value in part.items():
                if key not in ("examples", "default"):
                    yield from objects(value)
        elif isinstance(part, list):
            for value in part:
                yield from objects(value)

    for part in objects(schema(name)):
        assert part.get("additionalProperties") is False or (
            isinstance(part["additionalProperties"], dict) and "propertyNames" in part and "maxProperties" in part
        )


def patterns(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "pattern" in part:
            yield part
        for value in part.values():
            yield from patterns(value)
    elif isinstance(part, list):
        for value in part:
            yield from patterns(value)


PATTERNS = {part["pattern"]: part for name in NAMES for part in patterns(schema(name))}
ADVERSARIES = ("a" * 100_000, "1" * 100_000, "a-" * 50_000, "/" * 100_000, "a=" * 50_000, "a/" * 50_000, "1h" * 50_000,
               "1.1" * 30_000, "_" * 100_000, "A_" * 50_000, "x:" * 50_000)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS, ids=list(PATTERNS))
def test_S4_patterns_are_linear_explain_themselves_and_refuse_a_newline_at_the_end(pattern: str) -> None:
    assert PATTERNS[pattern]["patternErrorMessage"].startswith("must ")
    compiled = re.compile(pattern)
    for adversary in ADVERSARIES:
        for tail in ("", "!", "\n", "\0"):
            begin = time.process_time()
            compiled.search(adversary + tail)
            assert time.process_time() - begin < 0.25
    assert pattern.endswith("$(?!\\n)")


def test_a_keyword_that_the_reader_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="multipleOf"):
        compile_rule({"type": "integer", "multipleOf": 2}, {})


def test_the_text_is_what_lies_in_the_folder() -> None:
    assert schema_text("job").startswith("{\n")
    assert schema_text("job").endswith("}\n")

"""The packaged schemas, as text and as data. The one place of `spec` that reads files: those of its own package."""

import json
from functools import lru_cache
from pkgutil import get_data
from typing import Any, Literal

SchemaName = Literal["job", "service"]


def schema_text(name: str) -> str:
    """`job` or `service`, as it stands in `schemas/`. In a checkout the folder lies beside the package."""
    file = f"{name}.schema.json"
    try:
        found = get_data("reconciler.spec", f"schemas/{file}")  # importlib.resources brings zipfile and tempfile along
    except FileNotFoundError:
        found = get_data("reconciler", f"../schemas/{file}")
    assert found is not None
    return found.decode("utf-8")


@lru_cache(maxsize=4)
def schema(name: SchemaName) -> dict[str, Any]:
    """The schema as data; shared, so not to be changed."""
    loaded: dict[str, Any] = json.loads(schema_text(name))
    return loaded

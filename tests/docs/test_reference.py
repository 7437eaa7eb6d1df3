"""Promise: the reference pages are what the schemas say, and every example in them is accepted by the reader itself.

After a change of a schema: `python -m tests.docs.test_reference` writes the pages anew.
"""

import re
from pathlib import Path
from typing import get_args

import pytest

from reconciler.spec.document import Document, read_document
from reconciler.spec.reference import reference_page
from reconciler.spec.schemas import SchemaName

PAGES = Path(__file__).parents[2] / "docs" / "reference"
NAMES: tuple[SchemaName, ...] = get_args(SchemaName)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_page_is_the_generated_one(name: SchemaName) -> None:
    assert (PAGES / f"{name}.md").read_text(encoding="utf-8") == reference_page(name), __doc__


def top_level_examples(name: SchemaName) -> list[str]:
    page = reference_page(name)
    sections = re.findall(r"^## `\w+`\n.*?```yaml\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    return [re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0], *sections]


def documents(block: str) -> list[str]:
    """A block shows one field several times; each line that begins a field begins an example."""
    starts = [match.start() for match in re.finditer(r"^\w+:", block, re.MULTILINE)]
    return [block[a:b] for a, b in zip(starts, [*starts[1:], len(block)], strict=True)]


EXAMPLES = [(name, text) for name in NAMES for block in top_level_examples(name) for text in documents(block)]


@pytest.mark.parametrize(
    ("name", "text"), EXAMPLES, ids=[f"{name}: {text.splitlines()[0][:60]}" for name, text in EXAMPLES]
)
def test_every_example_is_accepted(name: SchemaName, text: str) -> None:
    found = read_document(text.encode(), "example.yaml", name)
    assert isinstance(found, Document), found


if __name__ == "__main__":
    for page_name in NAMES:
        (PAGES / f"{page_name}.md").write_text(reference_page(page_name), encoding="utf-8")

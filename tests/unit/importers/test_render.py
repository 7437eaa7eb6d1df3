"""Promise: a written file reads back as the very values, in the reference's order, with comments that stay comments."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.importers.model import Note, NoteCode
from reconciler.importers.names import LONGEST, Names, job_name
from reconciler.importers.render import MOST_NOTES, render
from reconciler.model.ids import is_job_name
from reconciler.spec.yamlread import forbidden
from tests.unit.importers.kit import fields

BASE: dict[str, Any] = {"schedule": "manual", "image": "a:1"}
TEXTS = st.text(max_size=60).filter(lambda text: forbidden(text) is None) | st.sampled_from(
    ["null", "~", "yes", "NO", "1.10", "0x1F", "1e3", "22:30", "a: b", "a:", "a #b", "- a", "-", "--x", "---", "&a",
     "*a", "!a",
     "%a", "@a", "`a", "'a", '"a"', "a'b\"c", "\\", "{a}", "[a]", "a\n", "\na", "a\nb", " a\nb", "a \nb\n", "a\n\nb\n",
     "a\nb\n\n",
     "\ta\n\tb", "a\n#b", "x" * 300, "ü ß", "\U0001f600", "a\u00a0b", "<<", "?", "? a", ":", "|", ">", "=", "a,b",
     "a  b"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(command=st.lists(TEXTS, max_size=4),
       environment=st.dictionaries(st.from_regex(r"[A-Z]{1,4}", fullmatch=True), TEXTS, max_size=4),
       script=TEXTS.filter(lambda text: text.strip() != ""))  # fmt: skip
def test_any_text_reads_back(command: list[str], environment: dict[str, str], script: str) -> None:
    values = {
        **BASE,
        "command": command,
        "environment": environment,
        "files": {"/a b": {"content": script, "mode": "0444"}},
    }
    assert fields(render(values, ["From x."], [])) == values
    assert fields(render({**BASE, "script": script}, [], [])) == {**BASE, "script": script}


def test_the_order_is_that_of_the_reference() -> None:
    text = render({"retries": 1, "image": "a:1", "schedule": "manual", "description": "x", "suspend": True}, [], [])
    assert [line.partition(":")[0] for line in text.splitlines()] == [
        "description",
        "schedule",
        "suspend",
        "image",
        "retries",
    ]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_no_comment_becomes_a_field(words: str) -> None:
    """Notes hold what the imported file says: nothing in one may end its comment."""
    note = Note("x", 1, 1, NoteCode.SECRET, words, words)
    text = render(BASE, [words], [note])
    assert fields(text) == BASE
    assert all(line.startswith(("#", "schedule:", "image:")) for line in text.split("\n") if line)


def test_the_gravest_notes_come_first_and_not_too_many() -> None:
    notes = [Note("x", n, 1, NoteCode.NO_COUNTERPART, f"number {n}") for n in range(1, MOST_NOTES + 50)]
    text = render({**BASE, "suspend": True}, ["From x."], [*notes, Note("x", 9, 1, NoteCode.SECRET, "the secret")])
    lines = text.splitlines()
    assert lines[:3] == ["# From x.", "# Suspended: deal with what is needed, then remove the line `suspend: true`.",
                         "# needed: line 9: the secret"]  # fmt: skip
    assert "# and 50 more notes of this kind and those below it" in lines


NAMES = [("Nightly Backup!", "nightly-backup"), ("ok_1-a", "ok_1-a"), ("Ünïcode", "unicode"), ("---", "job"),
         ("", "job"), ("日本", "job"),
         ("_a_", "a"), ("A" * 100, "a" * 63), ("../../etc/passwd", "etc-passwd"), ("a/b", "a-b")]  # fmt: skip


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_a_name_is_made_to_the_rule(text: str, name: str) -> None:
    assert job_name(text) == name


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=80), max_size=20), st.sets(st.sampled_from(["job", "job-2", "a"])))
def test_names_are_legal_and_none_comes_twice(wanted: list[str], taken: set[str]) -> None:
    names = Names(taken)
    found = [names.take(text) for text in wanted]
    assert len({*found, *taken}) == len(found) + len(taken)
    assert all(is_job_name(name) and len(name) <= LONGEST for name in found)

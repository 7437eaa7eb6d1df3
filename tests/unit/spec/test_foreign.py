"""Promise: YAML of other programs is read with its anchors and documents, within the bounds of ours (rule S4)."""

import json
import time

import pytest

from reconciler.spec.foreign import read_documents
from reconciler.spec.nodes import Mapping, Node, Scalar, Sequence
from reconciler.spec.yamlread import MAX_DEPTH


def plain(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.items.items()}
    assert isinstance(node, Sequence)
    return [plain(item) for item in node.items]


def read(text: str) -> list[object]:
    documents, problems = read_documents(text.encode(), "f")
    assert problems == []
    return [plain(document) for document in documents]


READS = [
    ("a: 1\n---\n- b\n--- c\n", [{"a": "1"}, ["b"], "c"]),
    ("a: &x {b: 1}\nc: *x\n", [{"a": {"b": "1"}, "c": {"b": "1"}}]),
    ("a: &x 1\nb: &x 2\nc: *x\n", [{"a": "1", "b": "2", "c": "2"}]),
    ("a: &x {k: 1, l: 1}\nb: {<<: *x, k: 2}\n", [{"a": {"k": "1", "l": "1"}, "b": {"k": "2", "l": "1"}}]),
    ("b: {<<: [{k: 1}, {k: 2, m: 3}]}\n", [{"b": {"k": "1", "m": "3"}}]),
    ("'<<': 1\n", [{"<<": "1"}]),
    ("? &k a\n: 1\nb: *k\n", [{"a": "1", "b": "a"}]),
    ("!!map {a: !!str 1}\n", [{"a": "1"}]),
    ("%YAML 1.1\n---\na: 1\n", [{"a": "1"}]),
    ('{"a":\t"\\ud83d\\ude00\\/"}', [{"a": "\U0001f600/"}]),
    ('{"a": "\\\\ud83d\\\\ude00"}', [{"a": "\\ud83d\\ude00"}]),
    ("", []),
    ("# nothing\n", []),
    ("a: 1\r\nb: 2\r\n", [{"a": "1", "b": "2"}]),
]


@pytest.mark.parametrize(("text", "documents"), READS, ids=[repr(row[0]) for row in READS])
def test_S4_reads(text: str, documents: list[object]) -> None:
    assert read(text) == documents


def test_S4_of_equal_keys_the_last_counts_and_is_told() -> None:
    documents, problems = read_documents(b"a: 1\nb: 2\na: 3\n", "f")
    assert plain(documents[0]) == {"a": "3", "b": "2"}
    assert [(p.code, p.line) for p in problems] == [("duplicate-key", 3)]


def test_S4_what_stands_before_a_fault_is_read() -> None:
    documents, problems = read_documents(b"a: 1\n---\nb: 2\n---\nc: [\n", "f")
    assert [plain(document) for document in documents] == [{"a": "1"}, {"b": "2"}]
    assert [p.code for p in problems] == ["yaml-syntax"]


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
MERGES = "a0: &a0 {k0: x}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: x}}\n" for n in range(1, 60))
DEEP = "a0: &a0 " + "[" * 20 + "]" * 20 + "\n" + "a1: [" * 1 + "[" * 19 + "*a0" + "]" * 20 + "\n"
STOPPED = [
    (BOMB, "too-many-nodes"), (MERGES, "too-many-nodes"), (DEEP, "too-deep"), ("[" * 100_000, "too-deep"),
    ("a: *nowhere\n", "alias"), ("a: &a [*a]\n", "alias"), ("&a a: 1\n---\nb: *a\n", "alias"),
    ("{[a]: 1}\n", "key-not-text"),
    ("a:\tb\n\tc: d\n", "yaml-syntax"), ("a: \x07\n", "control-character"),
    ("a: " + "x" * (257 << 10), "file-too-large"),
    (json.dumps({"a": "\ud800"}), "yaml-syntax"), ("- x\n" * 21_000, "too-many-nodes"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code"), STOPPED, ids=[f"{row[1]}: {row[0][:20]!r}" for row in STOPPED])
def test_S4_hostile_files_end_soon_with_a_problem(text: str, code: str) -> None:
    begin = time.process_time()
    _, problems = read_documents(text.encode(), "f")
    assert time.process_time() - begin < 2.0
    assert code in [p.code for p in problems]


def test_S4_not_utf8() -> None:
    _, problems = read_documents(b"a: 1\nb: \xff\n", "f")
    assert [(p.code, p.line, p.column) for p in problems] == [("not-utf8", 2, 4)]


def test_S4_no_tree_is_deeper_than_the_bound() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 40))
    documents, problems = read_documents(text.encode(), "f")
    assert [p.code for p in problems] == ["too-deep"]
    assert documents == []
    shallow = "".join(text.splitlines(keepends=True)[: MAX_DEPTH - 2])
    assert read_documents(shallow.encode(), "f")[1] == []

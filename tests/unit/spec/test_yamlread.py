"""Promise: rule S4. No bytes make the reader fail, hang or guess; each refusal says where and what to do."""

import time

import pytest

from reconciler.spec.document import Document, read_document
from reconciler.spec.yamlread import MAX_DEPTH, MAX_NODES, read_yaml

REFUSED = {
    "an empty file": (b"", "empty-file", 1, 1),
    "a file of comments": (b"# nothing\n", "empty-file", 1, 1),
    "a file that says null": (b"~\n", "not-a-map", 1, 1),
    "a list at the top": (b"- a\n", "not-a-map", 1, 1),
    "text at the top": (b"hello\n", "not-a-map", 1, 1),
    "two documents": (b"a: 1\n---\nb: 2\n", "several-documents", 2, 1),
    "a %YAML directive": (b"%YAML 1.1\n---\na: 1\n", "directive", 1, 1),
    "a %TAG directive": (b"%TAG ! tag:x,2000:\n---\na: 1\n", "directive", 1, 1),
    "an anchor": (b"a: &x 1\n", "anchor", 1, 4),
    "an alias": (b"a: *x\n", "alias", 1, 4),
    "an anchor on a map": (b"a: &x {b: 1}\n", "anchor", 1, 4),
    "a merge key": (b"<<: {a: 1}\n", "merge-key", 1, 1),
    "a python tag": (b"a: !!python/object:os.system x\n", "tag", 1, 4),
    "a core tag": (b"a: !!str 5\n", "tag", 1, 4),
    "a local tag on a list": (b"a: !x [1]\n", "tag", 1, 4),
    "the tag that says nothing": (b"a: ! x\n", "tag", 1, 4),
    "the same key twice": (b"image: a\nschedule: b\nimage: c\n", "duplicate-key", 3, 1),
    "the same key twice, once in quotes": (b"image: a\n'image': c\n", "duplicate-key", 2, 1),
    "the same key twice, further in": (b"x:\n  y: 1\n  y: 2\n", "duplicate-key", 3, 3),
    "a list as key": (b"? [a]\n: b\n", "key-not-text", 1, 3),
    "a map as key": (b"{a: 1}: b\n", "key-not-text", 1, 1),
    "bytes that are not UTF-8": (b"a: 1\nb: \xff\n", "not-utf8", 2, 4),
    "UTF-16": ("a: 1\n".encode("utf-16"), "not-utf8", 1, 1),
    "a NUL": (b"a: b\0c\n", "control-character", 1, 5),
    "an escape character": (b"a: \x1b[31m\n", "control-character", 1, 4),
    "a lone carriage return, which hides a line": (b"a: 1 # x\rb: 2\n", "control-character", 1, 9),
    "U+0085, which hides a line": ("a: 1 # x\x85b: 2\n".encode(), "control-character", 1, 9),
    "U+2028, which hides a line": ("a: 1 # x\u2028b: 2\n".encode(), "control-character", 1, 9),
    "a right-to-left override": ("a: \u202etxt\n".encode(), "control-character", 1, 4),
    "a bidi isolate in a comment": ("a: 1 # \u2066\n".encode(), "control-character", 1, 8),
    "a byte order mark inside": ("a: \ufeffb\n".encode(), "control-character", 1, 4),
    "a NUL written as an escape": (b'a: "x\\0y"\n', "control-character", 1, 4),
    "U+202E written as an escape": (b'a: "\\u202e"\n', "control-character", 1, 4),
    "a key with a newline": (b'"a\\nb": 1\n', "key-invalid", 1, 1),
    "a tab as indent": (b"a:\n\tb: 1\n", "yaml-syntax", 2, 1),
    "an open quote": (b"a: 'b\n", "yaml-syntax", 2, 1),
    "an open bracket": (b"a: [b\n", "yaml-syntax", 2, 1),
    "a colon in plain text": (b"a: b: c\n", "yaml-syntax", 1, 5),
    "lone surrogates as escapes": (b'a: "\\ud800"\n', "yaml-syntax", 1, 7),
}


@pytest.mark.parametrize(("data", "code", "line", "column"), REFUSED.values(), ids=REFUSED)
def test_S4_refuses(data: bytes, code: str, line: int, column: int) -> None:
    _, problems = read_yaml(data, "x.yaml")
    assert [(p.code, p.line, p.column) for p in problems][:1] == [(code, line, column)]
    document = read_document(data, "x.yaml", "job")
    assert not isinstance(document, Document)


def test_S4_a_duplicate_key_names_both_lines_and_reading_goes_on() -> None:
    found = read_document(b"image: a\nimage: b\nschedul: manual\nsuspend: 7\n", "x.yaml", "job")
    assert isinstance(found, tuple)
    assert [p.line for p in found] == [2, 3, 4]
    assert 'the key "image" is on line 1 and again on line 2' in found[0].message


HOSTILE = {
    "60,000 brackets": b"[" * 60_000,
    "60,000 braces": b"{a: " * 30_000,
    "deep block lists": b"- " * 60_000,
    "deep question marks": b"? " * 60_000,
    "250 kB of newlines": b"\n" * 250_000,
    "250 kB of spaces": b" " * 250_000,
    "100,000 commas": b"a: [" + b"," * 100_000,
    "30,000 keys": b"".join(b"k%d: 1\n" % i for i in range(28_000)),
    "one long key": b"a" * 250_000 + b": 1",
    "one long comment": b"#" + b"x" * 250_000,
    "an endless quoted text": b'a: "' + b"\\x" * 120_000,
    "many anchors": b"a: [" + b"&a 1, " * 40_000 + b"]",
    "many tags": b"a: [" + b"!a 1, " * 40_000 + b"]",
    "a billion laughs": b"a: &a [x,x]\n"
    + b"".join(b"%c: &%c [*%c,*%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 120)),
    "many simple keys in one flow line": b"{" + b"a, " * 80_000,
    "indents that grow": b"".join(b" " * i + b"a:\n" for i in range(700)),
    "a folded text of blank lines": b"a: >\n" + b" \n" * 120_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_S4_hostile_input_is_refused_within_a_bound(data: bytes) -> None:
    begin = time.process_time()
    found = read_document(data[: 256 << 10], "x.yaml", "job")
    assert isinstance(found, tuple)
    assert time.process_time() - begin < 3.0
    assert 0 < len(found) <= 150


def test_S4_the_depth_is_bounded() -> None:
    nested = b"a: " + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    assert read_yaml(nested + b"\n", "x")[1] == []
    too_deep = b"a: " + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert [p.code for p in read_yaml(too_deep, "x")[1]] == ["too-deep"]


def test_S4_the_number_of_values_is_bounded() -> None:
    root, problems = read_yaml(b"a: [" + b"1," * (MAX_NODES - 2) + b"]", "x")
    assert root is not None
    assert problems == []
    assert [p.code for p in read_yaml(b"a: [" + b"1," * MAX_NODES + b"]", "x")[1]] == ["too-many-nodes"]


@pytest.mark.parametrize("size", [64 << 10, (64 << 10) + 1])
def test_S4_the_length_of_a_value_is_bounded(size: int) -> None:
    found = read_document(b"script: " + b"x" * size, "x.yaml", "job")
    assert isinstance(found, Document) == (size == 64 << 10)


def test_S4_the_size_of_a_file_is_bounded() -> None:
    assert [p.code for p in read_yaml(b"a: b\n" + b"#" * (256 << 10), "x")[1]] == ["file-too-large"]


ACCEPTED = {
    "a byte order mark at the start": b"\xef\xbb\xbfimage: a\n",
    "windows line ends": b"image: a\r\nscript: |\r\n  b\r\n",
    "a document marker": b"---\nimage: a\n...\n",
    "letters of any script": "description: Übersicht 測試 🚀\n".encode(),
    "a merge key in quotes, where keys are free": b"labels: {team: a}\n",
    "ampersands and exclamation marks in text": b"script: |\n  a && b || ! c\n",
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_S4_accepts(data: bytes) -> None:
    assert isinstance(read_document(data, "x.yaml", "job"), Document)


TYPED = {
    "NO stays text in a text field": (b"description: NO", "description", "NO"),
    "1.10 keeps its zero": (b"description: 1.10", "description", "1.10"),
    "1:30 is no number": (b"description: 1:30", "description", "1:30"),
    "0644 is no octal": (b"description: 0644", "description", "0644"),
    "a date stays text": (b"description: 2026-11-24", "description", "2026-11-24"),
    "true stays text in a text field": (b"description: true", "description", "true"),
    "a number stays text in a text field": (b"user: 1000", "user", "1000"),
    "quoted null is text": (b"description: 'null'", "description", "null"),
    "true is a boolean where one belongs": (b"suspend: true", "suspend", True),
    "False is a boolean where one belongs": (b"suspend: False", "suspend", False),
    "an environment is text": (b"environment: {A: NO, B: 0x1F}", "environment", {"A": "NO", "B": "0x1F"}),
    "arguments are text": (b"command: [sleep, 010, on]", "command", ["sleep", "010", "on"]),
    "a number is a number": (b"resources: {cpus: 1.50}", "resources", {"cpus": 1.5}),
    "a whole number is one": (b"retries: 3", "retries", 3),
}  # fmt: skip


@pytest.mark.parametrize(("data", "key", "value"), TYPED.values(), ids=TYPED)
def test_S4_scalars_are_read_by_the_type_of_the_schema(data: bytes, key: str, value: object) -> None:
    document = read_document(data, "x.yaml", "job")
    assert isinstance(document, Document), document
    assert document.data[key] == value
    assert type(document.data[key]) is type(value)


WRONG = {
    "yes is no boolean": (b"suspend: yes", "suspend must be true or false", "Write true."),
    "a quoted boolean": (b"suspend: 'true'", "suspend must be true or false", "Remove the quotes."),
    "nothing after the colon": (b"image:", "image has no value", "Give it one"),
    "null in an environment": (b"environment: {A: null}", "environment.A has no value", "''"),
    "a quoted number": (b"retries: {limit: '3'}", "retries.limit must be a whole number", "Remove the quotes."),
    "an octal number": (b"retries: {limit: 010}", "retries.limit must be a whole number", "leading zero"),
    "a hexadecimal number": (b"resources: {pids_limit: 0x10}", "must be a whole number", "Decimal digits"),
    "a number with underscores": (b"resources: {pids_limit: 1_000}", "must be a whole number", "Decimal digits"),
    "infinity": (b"resources: {cpus: .inf}", "resources.cpus must be a number", "Decimal digits"),
    "not a number": (b"resources: {cpus: .nan}", "resources.cpus must be a number", "Decimal digits"),
    "a number that becomes infinite": (b"resources: {cpus: 1e999}", "resources.cpus must be a number", ""),
    "a fraction where a whole number belongs": (b"retries: 1.0", "retries must be a whole number or a map", ""),
    "a map where text belongs": (b"image: {a: b}", "image must be text", ""),
    "text where a list belongs": (b"networks: default", "networks must be a list", "Put it into a list"),
    "an unknown key": (b"schedul: manual", 'unknown key "schedul"', 'did you mean "schedule"?'),
    "a key of Kubernetes": (b"concurrencyPolicy: Forbid", 'unknown key "concurrencyPolicy"', '"concurrency_policy"'),
    "a key of Compose": (b"mem_limit: 5m", 'unknown key "mem_limit"', 'did you mean "resources"?'),
    "an unknown value": (b"catch_up: lates", "catch_up must be none, latest or all", 'did you mean "latest"?'),
    "too small a number": (b"resources: {cpus: 0}", "resources.cpus must be more than 0", ""),
    "too large a number": (b"retries: 101", "retries must be at most 100", ""),
    "a variable in an image": (b"image: 'a:${TAG}'", "image must be an image reference", "Nothing is substituted"),
    "an empty map": (b"resources: {}", "resources must not be empty", ""),
    "an empty list": (b"networks: []", "networks must not be empty", ""),
    "a missing field": (b"volumes: [{source: a}]", 'volumes[0] needs "target"', ""),
    "a newline at the end of a name": (b'name: "a\\n"', "name must be lower-case letters", ""),
}


@pytest.mark.parametrize(("data", "message", "hint"), WRONG.values(), ids=WRONG)
def test_S4_what_is_wrong_gets_a_sentence_and_a_hint(data: bytes, message: str, hint: str) -> None:
    found = read_document(data, "x.yaml", "job")
    assert isinstance(found, tuple)
    assert len(found) == 1, found
    assert message in found[0].message
    assert hint in found[0].hint
    assert found[0].code != "schema"


SECRET = "hunter2"
LEAKS = {
    "in an environment": f"environment: {{'1A': {SECRET}}}",
    "as a wrong environment": f"environment: [{SECRET}]",
    "in an unknown key": f"password: {SECRET}",
    "in a script of a wrong kind": f"script: [{SECRET}]",
    "in a command": f"command: {{a: {SECRET}}}",
    "in a file": f"files: {{/a: {{content: {SECRET}, mode: {SECRET}}}}}",
    "beside a duplicate key": f"environment: {{A: {SECRET}, A: {SECRET}}}",
    "after a tag": f"environment: {{A: !x {SECRET}}}",
    "in broken YAML": f"environment: {{A: {SECRET}",
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS)
def test_S4_messages_never_hold_values_that_may_be_secret(text: str) -> None:
    found = read_document(text.encode(), "x.yaml", "job")
    assert isinstance(found, tuple)
    assert SECRET not in "".join(f"{p}{p.hint}{p.pointer}" for p in found)


def test_all_problems_of_a_file_come_at_once_in_order() -> None:
    text = b"image: [a]\nresources: {cpus: x, memory: y}\nretries: {limit: z}\nvolumes: [a, {type: b}]\n"
    found = read_document(text, "x.yaml", "job")
    assert isinstance(found, tuple)
    assert [p.pointer for p in found] == [
        "/image", "/resources/cpus", "/resources/memory", "/retries/limit", "/volumes/0", "/volumes/1",
        "/volumes/1/type",
    ]  # fmt: skip
    assert [(p.line, p.column) for p in found][:3] == [(1, 8), (2, 19), (2, 30)]

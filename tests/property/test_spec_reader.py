"""Promise: rule S4. Whatever the bytes, reading ends soon with a document or problems, and the two readers agree."""

import time
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.model.problem import SpecProblem
from reconciler.spec.document import Document, read_document, rule_of
from reconciler.spec.gate import read_valid
from reconciler.spec.messages import is_valid
from reconciler.spec.rules import Faults
from reconciler.spec.schemas import SchemaName, schema
from reconciler.spec.yamlread import read_yaml

KEYS = sorted(schema("job")["properties"])
SCALARS = st.sampled_from(
    ["", "a", "NO", "null", "~", "'null'", "true", "'true'", "yes", "0", "3", "-1", "010", "1.5", ".inf", "1e999",
     "5m", "0s", "512m", "manual", "'*/5 * * * *'", "busybox:1", "v:/v", "/x", "0444", "999:999", "Forbid", "latest",
     "a=b", "A=", "[]", "{}", '"a\\n"', '"a\\0"', "&a b", "*a", "!x y", "A", "none", "CHOWN", "bind", "CAP_KILL",
     "ü", "a b"]
)  # fmt: skip
INNER = st.sampled_from(
    ["type", "source", "target", "read_only", "tmpfs", "size", "mode", "limit", "delay", "on_exit_codes", "cron",
     "every", "cpus", "memory", "pids_limit", "keep_for", "content", "from", "gap", "A", "1A", "/x", "rel", "<<",
     "'<<'", "x y"]
)  # fmt: skip
NODES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.lists(st.tuples(INNER, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=6,
)
FILES = st.lists(st.tuples(st.sampled_from([*KEYS, *KEYS, "x", "imag"]), NODES), max_size=5).map(
    lambda pairs: "".join(f"{key}: {value}\n" for key, value in pairs).encode()
)


def check(data: bytes, name: SchemaName = "job") -> None:
    begin = time.process_time()
    found = read_document(data, "x.yaml", name)
    assert time.process_time() - begin < 2.0
    if not isinstance(found, Document):
        assert found
        assert all(isinstance(problem, SpecProblem) and problem.line >= 1 and problem.column >= 1 for problem in found)
        assert all(problem.code != "unreadable-file" for problem in found), found


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf\xef\xbb\xbfa: 1")
@example(b"\xfe\xff\x00a")
def test_S4_any_bytes(data: bytes) -> None:
    check(data)
    check(data, "service")


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-? ,[]{}&*!|>'\"%@`#\\\n\r\t\x85\u2028é0~<"), max_size=120))
def test_S4_any_text_of_yaml_characters(text: str) -> None:
    check(text.encode())


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FILES)
def test_S4_any_structure(data: bytes) -> None:
    check(data)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FILES)
def test_the_gate_and_jsonschema_agree(data: bytes) -> None:
    """What the compiled walk lets through is what `jsonschema` calls valid, and nothing else."""
    root, problems = read_yaml(data, "x")
    if root is None:
        return
    faults: Faults = []
    values = rule_of("job").read(root, faults)
    assert (not faults) == is_valid(values, "job")
    fast = read_valid(data, rule_of("job"))
    assert (fast is not None) == (not faults and not problems)
    if fast is not None:
        assert fast[0] == values
        assert fast[1] == {key: mark.line + 1 for key, mark in root.keys.items()}


@settings(max_examples=300, deadline=None)
@given(FILES)
def test_the_reader_sees_what_pyyaml_sees(data: bytes) -> None:
    """An independent reading: the same keys in the same order, the same text in each scalar."""
    root, problems = read_yaml(data, "x")
    if root is None or problems:
        return
    node = yaml.compose(data, Loader=yaml.SafeLoader)
    assert same(root, node)


def same(ours: Any, theirs: yaml.Node) -> bool:
    if isinstance(theirs, yaml.ScalarNode):
        return bool(ours.value == theirs.value)
    if isinstance(theirs, yaml.SequenceNode):
        return len(ours.items) == len(theirs.value) and all(map(same, ours.items, theirs.value))
    pairs = [(key.value, value) for key, value in theirs.value]
    return list(ours.items) == [key for key, _ in pairs] and all(same(ours.items[key], value) for key, value in pairs)

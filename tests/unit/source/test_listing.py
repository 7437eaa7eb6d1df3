"""Promise: of a git tree only regular files with plain names get through, and what is refused is never just absent."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.errors import SourceRejected
from reconciler.source import listing
from reconciler.source.listing import normal_paths, parse_listing, split_records, unseen_blobs

BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c53%02x"


def record(path: str, *, mode: str = "100644", kind: str = "blob", blob: int = 12) -> bytes:
    """One record. Blob number n has n bytes, number 255 a gigabyte, number 254 256 KiB."""
    return f"{mode} {kind} {BLOB % blob}\t".encode() + path.encode("utf-8", "surrogateescape") + b"\0"


SIZES = {BLOB % number: number for number in range(254)} | {BLOB % 254: 262144, BLOB % 255: 1 << 30}


def below(raw: bytes, *roots: str, known: Mapping[bytes, listing.Record] | None = None) -> listing.Listing:
    pieces = split_records(raw)
    return parse_listing(pieces, roots, known or {}, {blob: SIZES[blob] for blob in unseen_blobs(pieces, known or {})})


def one(raw: bytes) -> listing.Listing:
    return below(raw, "jobs.d")


def test_a_file_is_named_below_its_root_and_in_full() -> None:
    (entry,) = one(record("jobs.d/ml/train.yaml")).entries
    assert (entry.path, entry.full_path, entry.blob, entry.size) == (
        "ml/train.yaml", "jobs.d/ml/train.yaml", BLOB % 12, 12,
    )  # fmt: skip


REFUSED = [
    ("a symlink", record("jobs.d/a.yaml", mode="120000"), "a.yaml", "symlink"),
    ("a submodule", record("jobs.d/sub", mode="160000", kind="commit"), "sub", "submodule"),
    ("an unknown mode", record("jobs.d/a.yaml", mode="100600"), "a.yaml", "file-kind"),
    ("a step up", record("jobs.d/../etc/x.yaml"), "../etc/x.yaml", "file-name"),
    ("a .git directory", record("jobs.d/.git/config"), ".git/config", "file-name"),
    ("a .git directory in capitals", record("jobs.d/.GIT/config"), ".GIT/config", "file-name"),
    ("a newline", record("jobs.d/a\nb.yaml"), "a\\nb.yaml", "file-name"),
    ("an escape sequence", record("jobs.d/\x1b[2J.yaml"), "\\x1b[2J.yaml", "file-name"),
    ("reversed text", record("jobs.d/\u202elmay.yaml"), "\\u202elmay.yaml", "file-name"),
    ("a backslash", record("jobs.d/a\\b.yaml"), "a\\\\b.yaml", "file-name"),
    ("bytes that are not UTF-8", record("jobs.d/\udcff.yaml"), "\\udcff.yaml", "file-name"),
    ("a file of a gigabyte", record("jobs.d/a.yaml", blob=255), "a.yaml", "file-too-large"),
]


@pytest.mark.parametrize(("raw", "path", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_D8_what_is_not_a_plain_file_is_a_problem_of_its_path(raw: bytes, path: str, code: str) -> None:
    result = one(raw)
    assert result.entries == ()
    (problem,) = result.problems
    assert (problem.path, problem.code, problem.line, problem.severity) == (path, code, 1, "error")
    assert problem.message and problem.hint


def test_a_big_file_that_is_no_job_file_is_a_warning() -> None:
    (problem,) = one(record("jobs.d/logo.png", blob=255)).problems
    assert (problem.code, problem.severity) == ("file-too-large", "warning")


@pytest.mark.parametrize("mode", ["120000", "160000", "100644"])
def test_D4_a_jobs_directory_that_became_something_else_is_missing_and_a_problem(mode: str) -> None:
    kind = "commit" if mode == "160000" else "blob"
    result = one(record("jobs.d", mode=mode, kind=kind))
    assert result.missing == ("jobs.d",)
    assert [problem.code for problem in result.problems] == ["path-not-a-directory"]


def test_D4_each_root_without_files_is_listed() -> None:
    result = below(record("jobs/db1/a.yaml"), "jobs/common", "jobs/db1")
    assert result.missing == ("jobs/common",)


def test_a_root_whose_files_are_all_refused_is_not_missing() -> None:
    assert one(record("jobs.d/a.yaml", mode="120000")).missing == ()


def test_a_root_is_no_prefix_of_another_name() -> None:
    result = below(record("jobs.d2/a.yaml"), "jobs.d", "jobs.d2")
    assert [entry.path for entry in result.entries] == ["a.yaml"]
    assert result.missing == ("jobs.d",)


def test_D1_one_name_below_two_roots_is_left_to_who_names_jobs() -> None:
    raw = record("common/a.yaml") + record("db1/a.yaml")
    assert [entry.path for entry in below(raw, "common", "db1").entries] == ["a.yaml", "a.yaml"]


@pytest.mark.parametrize("blob", [12, 13], ids=["the same record twice", "two blobs under one path"])
def test_a_path_that_a_tree_names_twice_is_used_by_neither(blob: int) -> None:
    result = one(record("jobs.d/a.yaml") + record("jobs.d/a.yaml", blob=blob) + record("jobs.d/b.yaml"))
    assert [entry.path for entry in result.entries] == ["b.yaml"]
    assert [(problem.path, problem.code) for problem in result.problems] == [("a.yaml", "file-name")]


def test_what_was_parsed_before_is_not_parsed_again() -> None:
    first = one(record("jobs.d/a.yaml") + record("jobs.d/b.yaml"))
    second = below(record("jobs.d/a.yaml") + record("jobs.d/c.yaml"), "jobs.d", known=first.records)
    assert second.entries[0] is first.entries[0]


def test_S4_more_files_than_the_bound_are_refused() -> None:
    raw = b"".join(record(f"jobs.d/{number}.yaml") for number in range(listing.MAX_ENTRIES + 1))
    with pytest.raises(SourceRejected) as caught:
        one(raw)
    assert caught.value.code == "source-too-large"


def test_S4_more_bytes_than_the_bound_are_refused() -> None:
    raw = b"".join(record(f"jobs.d/{number}.yaml", blob=254) for number in range(257))
    with pytest.raises(SourceRejected, match="64 MiB"):
        one(raw)


@pytest.mark.parametrize(("paths", "expected"), [
    (("jobs.d",), ("jobs.d",)), (("./jobs.d/",), ("jobs.d",)), (("",), ("",)), ((".",), ("",)), ((), ("",)),
    (("a", "b/c", "a/"), ("a", "b/c")), (("a", "ab"), ("a", "ab")),
])  # fmt: skip
def test_paths_are_normalised(paths: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert normal_paths(paths) == expected


@pytest.mark.parametrize("paths", [("/etc",), ("../x",), ("a/../../b",), ("a", "a/b"), ("", "a"), ("a\nb",)])
def test_paths_that_leave_the_repository_or_overlap_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(SourceRejected) as caught:
        normal_paths(paths)
    assert caught.value.code == "paths-invalid"


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)))
def test_every_record_ends_as_an_entry_or_a_problem(names: list[str]) -> None:
    unique = list(dict.fromkeys(names))
    result = one(b"".join(record(f"jobs.d/{name}") for name in unique))
    assert len(result.entries) + len(result.problems) == len(unique)
    assert all(entry.path.isprintable() or not entry.path.isascii() for entry in result.entries)

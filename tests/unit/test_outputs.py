"""A run's outputs are kept and bounded; nothing that a job writes there makes us follow, overwrite or overflow."""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine.process_outputs import read as read_folder
from reconciler.model.errors import StateError
from reconciler.model.outputs import OutputPart, PartKind
from reconciler.workspace.outputs import collect, place_of, read, remove
from tests.unit.runs.kit import run


def file(path: str, data: bytes = b"x", **fields: object) -> OutputPart:
    return replace(OutputPart(path, PartKind.FILE, len(data), data=iter([data])), **fields)  # type: ignore[arg-type]


def kept_files(place: Path) -> dict[str, bytes]:
    data = place / "data"
    return {str(path.relative_to(data)): path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file()}


def test_what_was_left_is_kept_and_listed(tmp_path: Path) -> None:
    place = tmp_path / "outputs/r"
    parts = [OutputPart("sub", PartKind.DIRECTORY), file("sub/a", b"hello"), file("tool", b"#!", executable=True),
             OutputPart("sub/again", PartKind.COPY, source="sub/a")]  # fmt: skip
    kept = collect(parts, place, 1000, 100)
    assert kept.files == (("sub/a", 5), ("tool", 2), ("sub/again", 5)) and not kept.left_out and not kept.skipped
    assert kept_files(place) == {"sub/a": b"hello", "sub/again": b"hello", "tool": b"#!"}
    assert (place / "data/tool").stat().st_mode & 0o7777 == 0o750
    assert (place / "data/sub/a").stat().st_mode & 0o7777 == 0o640
    assert read(place) == kept


def test_beyond_the_bound_of_bytes_it_and_all_after_it_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    kept = collect([file("a", b"12345"), file("b", b"123456"), file("c", b"1")], tmp_path / "r", 10, 100)
    assert [path for path, _ in kept.files] == ["a"]
    assert (kept.left_out, kept.why) == ("b", "more bytes than limits.outputs_bytes")
    assert kept_files(tmp_path / "r") == {"a": b"12345"}


def test_the_bound_of_entries_counts_directories_and_what_is_skipped_too(tmp_path: Path) -> None:
    many = collect([OutputPart(f"d{n}", PartKind.DIRECTORY) for n in range(9)], tmp_path / "r", 10, 4)
    assert (many.entries, many.left_out, many.why) == (4, "d4", "more entries than limits.outputs_entries")
    links = collect([OutputPart(f"l{n}", PartKind.OTHER) for n in range(9)], tmp_path / "s", 10, 4)
    assert links.left_out == "l4"


ODD = ["../x", "/etc/passwd", "a/../../x", "a//b", ".", "", "n" * 256, "/".join("d" * 70), "a/./b", "x\0y"]


@pytest.mark.parametrize("path", ODD)
def test_a_name_that_leads_elsewhere_is_never_used(tmp_path: Path, path: str) -> None:
    kept = collect([file(path), file("good")], tmp_path / "state/outputs/r", 10, 100)
    assert kept.files == (("good", 1),)
    assert kept.skipped == (path,) and kept.skipped_in_all == 1
    there = {str(found.relative_to(tmp_path)) for found in tmp_path.rglob("*") if found.is_file()}
    assert there == {"state/outputs/r/data/good", "state/outputs/r/manifest.json"}


def test_links_and_special_files_are_never_kept(tmp_path: Path) -> None:
    other = [OutputPart("link", PartKind.OTHER), OutputPart("copy", PartKind.COPY, source="../../secret")]
    kept = collect(other, tmp_path / "r", 10, 100)
    assert kept.files == () and kept.skipped == ("link", "copy")


def test_collecting_twice_keeps_what_is_there_and_half_of_it_is_begun_anew(tmp_path: Path) -> None:
    def breaks() -> Iterator[OutputPart]:
        yield file("a")
        raise RuntimeError("the stream broke")

    place = tmp_path / "r"
    with pytest.raises(RuntimeError):
        collect(breaks(), place, 10, 10)
    assert read(place) is None
    first = collect([file("a"), file("b")], place, 10, 10)
    assert collect([file("other")], place, 10, 10) == first


def test_a_full_disk_keeps_nothing_says_so_and_may_be_tried_again(tmp_path: Path) -> None:
    def full() -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StateError) as caught:
        collect([OutputPart("a", PartKind.FILE, 2, data=full())], tmp_path / "r", 10, 10)
    assert caught.value.code == "disk-full"
    assert list(tmp_path.iterdir()) == []
    assert collect([file("a")], tmp_path / "r", 10, 10).files == (("a", 1),)


def test_they_go_with_the_runs_history_and_no_others(tmp_path: Path) -> None:
    mine, other = run(attempt=1), run(attempt=2)
    for record in (mine, other):
        collect([file("a")], place_of(record, tmp_path), 10, 10)
    remove([mine], tmp_path)
    assert read(place_of(mine, tmp_path)) is None and read(place_of(other, tmp_path)) is not None


def test_two_runs_never_share_a_place() -> None:
    long = [replace(run(), run_id=f"{letter}{'x' * 300}.20261124T020000Z.c1.1") for letter in "ab"]
    places = {place_of(record, Path("/s")).name for record in [*long, run(), run(attempt=2)]}
    assert len(places) == 4 and all(len(name) <= 210 for name in places)


# -- the folder of a process ------------------------------------------------------------------------------------


def test_a_folder_is_read_without_following_anything(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("secret")
    folder = tmp_path / "outputs"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/a").write_text("hello")
    (folder / "to-file").symlink_to(tmp_path / "secret/key")
    (folder / "to-folder").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe")
    found = [(part.path, part.kind, b"".join(part.data)) for part in read_folder(folder, os.geteuid())]
    assert found == [
        ("pipe", PartKind.OTHER, b""), ("sub", PartKind.DIRECTORY, b""), ("sub/a", PartKind.FILE, b"hello"),
        ("to-file", PartKind.OTHER, b""), ("to-folder", PartKind.OTHER, b""),
    ]  # fmt: skip


def test_a_file_of_another_user_that_was_linked_there_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("of somebody else")
    assert [part.kind for part in read_folder(tmp_path, os.geteuid() + 1)] == [PartKind.OTHER]


def test_a_folder_that_became_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="cannot read the outputs"):
        list(read_folder(tmp_path / "outputs", os.geteuid()))


def test_a_file_that_changes_while_it_is_read_has_the_announced_length(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    for part in read_folder(tmp_path, os.geteuid()):
        path.write_bytes(b"0123")
        assert b"".join(part.data) == b"0123" + bytes(6)


def test_folders_within_folders_are_bounded(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(80):
        deep /= "d"
    deep.mkdir(parents=True)
    kinds = [part.kind for part in read_folder(tmp_path, os.geteuid())]
    assert kinds == [PartKind.DIRECTORY] * 64 + [PartKind.OTHER]

"""Promise: what is sent to another host is the tree that lies here, the same bytes each time, without any power."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from reconciler.engine.packing import Archive
from reconciler.model.errors import StateError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b" / "deep").mkdir(parents=True)
    (root / "a").write_bytes(b"x" * 700_001)
    (root / "b" / "run").write_text("run")
    (root / "b" / "run").chmod(0o4755)
    (root / "b" / "deep").chmod(0o2770)
    (root / "b" / "link").symlink_to("../a")
    (root / "b" / "dangling").symlink_to(".//x/../nowhere")
    (root / "empty").write_text("")
    os.utime(root / "a", (1e9 + 0.75, 1e9 + 0.75))
    return root


def archive(*parts: tuple[str, str]) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(Archive(parts)))) as found:
        return found.getmembers()


def test_directories_files_and_links_come_as_they_are_in_the_order_of_names(tree: Path) -> None:
    found = archive(("0", str(tree)))
    assert [(m.name, m.type, m.linkname) for m in found] == [
        ("0", tarfile.DIRTYPE, ""), ("0/a", tarfile.REGTYPE, ""), ("0/b", tarfile.DIRTYPE, ""),
        ("0/b/dangling", tarfile.SYMTYPE, ".//x/../nowhere"), ("0/b/deep", tarfile.DIRTYPE, ""),
        ("0/b/link", tarfile.SYMTYPE, "../a"), ("0/b/run", tarfile.REGTYPE, ""), ("0/empty", tarfile.REGTYPE, ""),
    ]  # fmt: skip
    assert (found[1].size, found[1].mtime, found[7].size) == (700_001, 1_000_000_000, 0)


def test_contents_and_owners_survive(tree: Path) -> None:
    data = b"".join(Archive([("0", str(tree))]))
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        file = found.extractfile("0/a")
        assert file is not None and file.read() == b"x" * 700_001
        members = found.getmembers()
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(os.geteuid(), tree.stat().st_gid, "", "")}


def test_no_mode_beyond_rwx_and_no_special_file_goes_out(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    modes = {m.name: m.mode for m in archive(("0", str(tree)))}
    assert (modes["0/b/run"], modes["0/b/deep"]) == (0o755, 0o770)
    assert "0/pipe" not in modes


def test_the_same_tree_makes_the_same_bytes(tree: Path) -> None:
    assert b"".join(Archive([("0", str(tree))])) == b"".join(Archive([("0", str(tree))]))


def test_names_that_are_long_or_no_text_come_through(tmp_path: Path) -> None:
    long, odd = "n" * 200, os.fsdecode(b"\xff\xfe \n")
    (tmp_path / "t" / long).mkdir(parents=True)
    (tmp_path / "t" / long / odd).write_text("x")
    (tmp_path / "t" / "link").symlink_to("t" * 300)
    found = archive(("0", str(tmp_path / "t")))
    assert [m.name for m in found] == ["0", "0/link", f"0/{long}", f"0/{long}/{odd}"]
    assert found[1].linkname == "t" * 300


def test_its_last_entry_is_known_at_the_end(tree: Path) -> None:
    made = Archive([("0", str(tree / "b")), ("1", str(tree))])
    assert b"".join(made) and made.last == archive(("0", str(tree / "b")), ("1", str(tree)))[-1].name == "1/empty"


def test_it_is_made_piece_by_piece(tree: Path) -> None:
    with (tree / "big").open("wb") as file:
        file.truncate(64 << 20)
    assert max(map(len, Archive([("0", str(tree))]))) <= 256 * 1024


def test_what_cannot_be_read_or_grows_shorter_is_an_error(tree: Path) -> None:
    with pytest.raises(StateError, match=r"cannot send .*absent"):
        b"".join(Archive([("0", str(tree / "absent"))]))
    pieces = iter(Archive([("0", str(tree / "a"))]))
    next(pieces)
    os.truncate(tree / "a", 10)
    with pytest.raises(StateError, match="shorter"):
        b"".join(pieces)

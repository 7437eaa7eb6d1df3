"""`reconciler outputs` lists and copies what a run left, says what is not there, and overwrites nothing."""

import json
from pathlib import Path

import pytest

from reconciler.cli.main import main
from reconciler.cli.outputs import data, remarks, summary
from reconciler.model.outputs import Kept, OutputPart, PartKind
from reconciler.workspace.outputs import collect, place_of
from tests.kit.world import World, cron


@pytest.fixture
def done(tmp_path: Path) -> tuple[World, list[str]]:
    """A run that has left two files; the world, and the options that lead to it."""
    world = World(tmp_path)
    world.behave("nightly", outputs=(("a.txt", b"hello"), ("sub/b", b"12")))
    world.apply(cron("1 2 * * *", outputs="/outputs"))
    world.tick(70)
    return world, ["--state-dir", str(tmp_path)]


def test_it_lists_them(done: tuple[World, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outputs", "nightly", *done[1]]) == 0
    assert "a.txt" in (said := capsys.readouterr().out) and "sub/b" in said


def test_it_copies_them_into_an_empty_directory_alone(
    done: tuple[World, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "copy"
    assert main(["outputs", "nightly", "--to", str(target), *done[1]]) == 0
    assert (target / "sub/b").read_bytes() == b"12"
    assert main(["outputs", "nightly", "--to", str(target), *done[1]]) == 2
    assert "[not-empty]" in capsys.readouterr().err


def test_its_json_has_these_keys(done: tuple[World, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outputs", "nightly", "-o", "json", *done[1]]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == [{"path": "a.txt", "size": 5}, {"path": "sub/b", "size": 2}]
    assert (said["complete"], said["bytes"], said["left_out_from"], said["skipped_in_all"]) == (True, 7, "", 0)
    assert Path(said["directory"], "a.txt").read_bytes() == b"hello"


def test_show_speaks_of_them(done: tuple[World, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "nightly", *done[1]]) == 0
    assert "outputs    2 files, 7 B" in capsys.readouterr().out


def test_why_there_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path)
    world.apply(cron("1 2 * * *"))
    world.tick(70)
    assert main(["outputs", "nightly", "--state-dir", str(tmp_path)]) == 2
    assert "its job has no `outputs`" in (said := capsys.readouterr().err) and "[outputs-absent]" in said


def test_what_is_missing_is_never_silent(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.apply(cron("1 2 * * *", outputs="/outputs"))
    world.tick(70)
    (run,) = world.runs("nightly")
    parts = [OutputPart("a", PartKind.FILE, 1, data=iter([b"x"])), OutputPart("l", PartKind.OTHER),
             OutputPart("m", PartKind.FILE, 99)]  # fmt: skip
    kept = collect(parts, tmp_path / "elsewhere", 10, 10)
    assert "not all" in summary(kept)
    assert remarks(kept) == [
        "NOT KEPT: m and all after it, in the order of names: more bytes than limits.outputs_bytes",
        "never kept: 1 links, special files or odd names: l",
    ]
    said = data(run, kept, place_of(run, tmp_path))
    assert (said["complete"], said["left_out_from"]) == (False, "m")
    assert remarks(Kept()) == ["no files"]

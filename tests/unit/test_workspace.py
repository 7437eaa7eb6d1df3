"""Promise: a job's files are on the disk, whole and read-only, before a run starts, and stay while it may need them."""

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.errors import StateError
from reconciler.model.job import FileMount, JobSpec, Schedule, ScheduleKind
from reconciler.workspace.files import drop_staged, stage_files, sweep

A, B = "a" * 64, "b" * 64


def spec(*files: FileMount) -> JobSpec:
    return JobSpec("ml/train", "default", Schedule(ScheduleKind.MANUAL), "busybox:local", files=files)


def snapshot(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Contents, mode and inode of every file below `root`."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), path.stat().st_ino)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_files_are_written_with_exact_contents_and_modes(tmp_path: Path) -> None:
    files = (FileMount("/app/query.sql", "SELECT 1;\n"), FileMount("/app/run.sh", "#!/bin/sh\necho ä\n", 0o555))
    mask = os.umask(0o077)
    try:
        staged = stage_files(spec(*files), A, str(tmp_path))
    finally:
        os.umask(mask)
    assert [target for _, target in staged] == ["/app/query.sql", "/app/run.sh"]
    for (host, _), file in zip(staged, files, strict=True):
        assert Path(host).read_text(encoding="utf-8") == file.content
        assert stat.S_IMODE(Path(host).stat().st_mode) == file.mode
        assert Path(host).parent == tmp_path / A
    assert stat.S_IMODE((tmp_path / A).stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("user", "owner"),
    [("1000", (1000, None)), ("1000:50", (1000, 50)), ("postgres", None), ("9" * 20, None), (None, None)],
)
def test_a_file_belongs_to_the_numeric_user_of_the_job_if_the_service_can_give_it_away(
    tmp_path: Path, user: str | None, owner: tuple[int, int | None] | None
) -> None:
    ((host, _),) = stage_files(replace(spec(FileMount("/a", "one", 0o400)), user=user), A, str(tmp_path))
    status = Path(host).stat()
    given = owner if owner is not None and os.geteuid() == 0 else (os.geteuid(), None)
    assert status.st_uid == given[0]
    assert given[1] in (None, status.st_gid)
    assert stat.S_IMODE(status.st_mode) == 0o400


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_service_that_has_become_root_gives_away_what_it_had_staged_before(tmp_path: Path) -> None:
    job = replace(spec(FileMount("/a", "one", 0o400)), user="1000:50")
    ((host, _),) = stage_files(job, A, str(tmp_path))
    os.chown(host, 998, 997)
    before = snapshot(tmp_path)
    stage_files(job, A, str(tmp_path))
    assert (Path(host).stat().st_uid, Path(host).stat().st_gid) == (1000, 50)
    assert snapshot(tmp_path) == before


def test_staging_again_changes_nothing(tmp_path: Path) -> None:
    job = spec(FileMount("/a", "one"), FileMount("/b", "two"))
    first = stage_files(job, A, str(tmp_path))
    before = snapshot(tmp_path)
    assert stage_files(job, A, str(tmp_path)) == first
    assert snapshot(tmp_path) == before


DAMAGES = ["edited", "emptied", "another mode", "gone", "a link", "half-written before"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_as_it_should_be_is_put_right(tmp_path: Path, damage: str) -> None:
    job = spec(FileMount("/a", "one"), FileMount("/b", "two"))
    ((host, _), _) = stage_files(job, A, str(tmp_path))
    path = Path(host)
    path.chmod(0o644)
    if damage in ("edited", "emptied"):
        path.write_text("two" if damage == "edited" else "")
    if damage in ("gone", "a link", "half-written before"):
        path.unlink()
    if damage == "a link":
        (tmp_path / "elsewhere").write_text("one")
        path.symlink_to(tmp_path / "elsewhere")
    if damage == "half-written before":
        (path.parent / f".half-{os.getpid()}-{path.name}").write_text("o")
    stage_files(job, A, str(tmp_path))
    assert path.read_text() == "one" and not path.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert sweep(str(tmp_path)) == 0


def test_no_target_leads_out_of_the_directory(tmp_path: Path) -> None:
    targets = ("/../../etc/passwd", "/a/../b", "/" + "x" * 4000, "/a\nb")
    staged = stage_files(spec(*(FileMount(target, "x") for target in targets)), A, str(tmp_path / "root"))
    assert {Path(host).parent for host, _ in staged} == {tmp_path / "root" / A}
    assert len({host for host, _ in staged}) == len(targets)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_a_job_without_files_makes_nothing(tmp_path: Path) -> None:
    assert stage_files(spec(), A, str(tmp_path / "root")) == ()
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("digest", ["", "..", "../x", "A" * 64, "a/b" * 10, "short"])
def test_only_a_digest_names_a_directory(tmp_path: Path, digest: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        stage_files(spec(FileMount("/a", "x")), digest, str(tmp_path))


def test_R6_what_is_kept_is_untouched_and_what_is_not_ours_too(tmp_path: Path) -> None:
    for digest in (A, B):
        stage_files(spec(FileMount("/a", digest)), digest, str(tmp_path))
    (tmp_path / "notes").mkdir()
    (tmp_path / ("c" * 64)).write_text("a file, not a directory of ours")
    before = snapshot(tmp_path / A)
    assert drop_staged({A}, str(tmp_path)) == (B,)
    assert snapshot(tmp_path / A) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [A, "c" * 64, "notes"]
    assert drop_staged({A}, str(tmp_path)) == ()


def test_dropping_where_nothing_was_ever_staged_is_nothing(tmp_path: Path) -> None:
    assert drop_staged((), str(tmp_path / "no")) == () and sweep(str(tmp_path / "no")) == 0


def test_sweep_removes_what_a_crash_left_half_written(tmp_path: Path) -> None:
    stage_files(spec(FileMount("/a", "x")), A, str(tmp_path))
    before = snapshot(tmp_path)
    (tmp_path / A / ".half-1-abc").write_text("ha")
    assert sweep(str(tmp_path)) == 1
    assert snapshot(tmp_path) == before


def test_a_place_that_cannot_be_written_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("in the way")
    with pytest.raises(StateError) as caught:
        stage_files(spec(FileMount("/a", "x")), A, str(tmp_path / "root"))
    assert caught.value.code == "state-error" and caught.value.hint


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, timeout=20
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a file system here")
    yield place
    subprocess.run(["umount", str(place)], check=True, timeout=20)


def test_a_full_disk_is_said_and_leaves_nothing_half_done(small_disk: Path) -> None:
    stage_files(spec(FileMount("/a", "kept")), A, str(small_disk))
    big = spec(FileMount("/small", "x"), FileMount("/big", "y" * (1 << 20)))
    with pytest.raises(StateError) as caught:
        stage_files(big, B, str(small_disk))
    assert caught.value.code == "disk-full" and caught.value.hint
    assert sweep(str(small_disk)) == 0
    assert drop_staged({A}, str(small_disk)) == (B,)
    assert [Path(host).read_text() for host, _ in stage_files(spec(FileMount("/a", "kept")), A, str(small_disk))] == [
        "kept"
    ]

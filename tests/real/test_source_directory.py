"""Promise: a plain directory reads like a commit, and no link, device or FIFO in it leads anywhere."""

import os
import threading
import time
from pathlib import Path

import pytest

from reconciler.model.errors import SourceRejected, SourceUnavailable
from reconciler.model.service import GitConfig, SourceConfig
from reconciler.source.base import Source
from reconciler.source.listing import MAX_ENTRIES
from reconciler.source.open import open_source

JOB = "schedule: '@hourly'\nimage: busybox:local\n"


def opened(path: Path, *roots: str) -> Source:
    return open_source(SourceConfig(f"dir:{path}", "HEAD", roots or ("",)), GitConfig(), "")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    (root / "ml").mkdir(parents=True)
    (root / "a.yaml").write_text(JOB)
    (root / "ml/b.yaml").write_text(JOB + "#\n")
    (root / ".git").mkdir()
    (root / ".git/config").write_text("[core]")
    return root


def test_files_are_listed_and_read(files: Path) -> None:
    source = opened(files)
    snapshot = source.snapshot(None)
    assert [entry.path for entry in snapshot.entries] == ["a.yaml", "ml/b.yaml"]
    assert snapshot.commit.id.startswith("dir:") and snapshot.descends and not snapshot.problems
    blob = snapshot.entries[0].blob
    assert blob.startswith("sha256:") and source.read([blob]) == {blob: JOB.encode()}


def test_the_revision_is_its_contents(files: Path) -> None:
    source = opened(files)
    first = source.snapshot(None)
    assert source.snapshot(first.commit.id) is first
    os.utime(files / "a.yaml", (1, 1))
    assert source.snapshot(None) is first
    (files / "a.yaml").write_text("changed")
    second = source.snapshot(None)
    assert second.commit.id != first.commit.id
    with pytest.raises(SourceUnavailable):
        source.read([first.entries[0].blob])


def test_roots_are_merged_and_the_missing_named(files: Path) -> None:
    snapshot = opened(files, "ml", "web").snapshot(None)
    assert [(entry.path, entry.full_path) for entry in snapshot.entries] == [("b.yaml", "ml/b.yaml")]
    assert snapshot.missing_paths == ("web",)


def test_D8_links_and_devices_are_problems_never_opened(files: Path) -> None:
    (files / "link.yaml").symlink_to("/etc/passwd")
    (files / "team").symlink_to("/etc")
    os.mkfifo(files / "pipe.yaml")
    began = time.monotonic()
    snapshot = opened(files).snapshot(None)
    assert time.monotonic() - began < 5
    assert {(problem.path, problem.code) for problem in snapshot.problems} == {
        ("link.yaml", "symlink"), ("team", "symlink"), ("pipe.yaml", "file-kind"),
    }  # fmt: skip
    assert [entry.path for entry in snapshot.entries] == ["a.yaml", "ml/b.yaml"]


def test_D4_a_root_that_is_a_link_is_missing(files: Path, tmp_path: Path) -> None:
    (files / "web").symlink_to(tmp_path)
    assert opened(files, "web").snapshot(None).missing_paths == ("web",)


def test_big_files_and_odd_names_are_problems(files: Path) -> None:
    (files / "big.yaml").write_bytes(bytes(300 << 10))
    (files / "a\nb.yaml").write_text(JOB)
    (files / os.fsdecode(b"\xff.yaml")).write_text(JOB)
    codes = {(problem.path, problem.code) for problem in opened(files).snapshot(None).problems}
    assert codes == {("big.yaml", "file-too-large"), ("a\\nb.yaml", "file-name"), ("\\udcff.yaml", "file-name")}


def test_S4_more_files_than_the_bound_are_refused(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.source.directory.MAX_ENTRIES", 1)
    assert MAX_ENTRIES == 50_000
    with pytest.raises(SourceRejected) as caught:
        opened(files).snapshot(None)
    assert caught.value.code == "source-too-large"


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceRejected) as caught:
        opened(tmp_path / "no").snapshot(None)
    assert caught.value.code == "source-not-found" and caught.value.hint


def test_descriptors_stay_flat(files: Path) -> None:
    source = opened(files, "ml", "web")
    source.snapshot(None)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        source.snapshot(None)
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_edit_kicks(files: Path) -> None:
    source, stop, kicked = opened(files), threading.Event(), threading.Event()
    thread = threading.Thread(target=source.watch, args=(stop, kicked.set))
    thread.start()
    try:
        deadline = time.monotonic() + 20
        number = 0
        while not kicked.is_set() and time.monotonic() < deadline:
            number += 1
            (files / "a.yaml").write_text(JOB + "#" * number)
            kicked.wait(0.5)
        assert kicked.is_set()
    finally:
        stop.set()
        thread.join(10)

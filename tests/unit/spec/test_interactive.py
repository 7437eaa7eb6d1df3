"""Promise: a shell has before it what the job's command has before it, ends with its own code, and what was installed
in it by hand is told from the notes, whatever else they say."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.job import Install, JobSpec, Packages
from reconciler.model.terminal import Terminal
from reconciler.spec.interactive import AFTER, BEFORE, installed_by_hand, interactive_argv
from reconciler.spec.packages import REPORT
from tests.kit.orders import make_spec

PIPE = Terminal(False)


def shell(
    spec: JobSpec, tmp_path: Path, commands: str, terminal: Terminal = PIPE, path: str = ""
) -> subprocess.CompletedProcess[str]:
    """The wrapper as it is, on this host."""
    argv = interactive_argv(replace(spec, outputs=str(tmp_path)), terminal)
    return subprocess.run(
        argv,
        input=commands,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": path + os.environ["PATH"]},
    )


def test_the_phases_come_first_and_one_that_fails_does_not_keep_the_shell_from_opening(tmp_path: Path) -> None:
    spec = make_spec(start_script="echo in the phase; cat; exit 4", script="not this")
    done = shell(spec, tmp_path, "echo in the shell; exit 3\n")
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines() == [
        "[reconciler] start_script", "in the phase", "[reconciler] start_script failed with exit code 4",
        "in the shell",
    ]  # fmt: skip


def test_packages_that_are_installed_at_the_start_are_a_phase(tmp_path: Path) -> None:
    spec = replace(make_spec(), packages=Packages(pip=("x",), install=Install.AT_START))
    assert "packages" in interactive_argv(replace(spec, outputs=str(tmp_path)), PIPE)
    assert "packages" not in interactive_argv(replace(spec, packages=Packages(pip=("x",)), outputs=str(tmp_path)), PIPE)


@pytest.mark.parametrize(
    ("ending", "code"),
    [("exit 3", 3), ("true", 0), ("kill -9 $$", 137), ("kill $$", 143), ("exec false", 1), ("no-such-thing", 127)],
)
def test_however_it_ends_the_notes_are_made_and_its_code_is_kept(ending: str, code: int, tmp_path: Path) -> None:
    done = shell(make_spec(), tmp_path, f"{ending}\n")
    assert done.returncode == code, done
    for name in (BEFORE, AFTER):
        assert (tmp_path / name).read_text().startswith(REPORT)
    assert installed_by_hand((tmp_path / BEFORE).read_bytes(), (tmp_path / AFTER).read_bytes()) == ()


def test_where_no_notes_can_be_made_nothing_is_said_of_it(tmp_path: Path) -> None:
    done = shell(make_spec(), tmp_path / "none", "echo hi\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")


@pytest.mark.parametrize(("lab", "kind"), [("0", "lab"), ("1", "notebook")])
def test_a_notebook_is_of_the_kind_that_the_image_has(
    lab: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "jupyter").write_text(f'#!/bin/sh\n[ "$1 $2" = "lab --version" ] && exit {lab}\necho "$@"; exit 5\n')
    (tmp_path / "jupyter").chmod(0o755)
    done = shell(make_spec(), tmp_path, "", Terminal(False, 8888), f"{tmp_path}:")
    assert done.returncode == 5
    assert done.stdout.split()[0] == kind and {"--ip=0.0.0.0", "--port=8888", "--no-browser"} <= set(
        done.stdout.split()
    )
    assert (tmp_path / AFTER).exists()


class Config(dict[str, Any]):
    """`c` of a settings file of Jupyter."""

    def __missing__(self, name: str) -> "Config":
        self[name] = made = Config()
        return made

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


def test_S1_its_token_is_a_setting_that_no_file_of_the_image_overrides_and_no_argument_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_TOKEN", "s3cret")
    (tmp_path / "jupyter").write_text('#!/bin/sh\n[ "$2" = --version ] || printf "%s\\n" "$@"\n')
    (tmp_path / "jupyter").chmod(0o755)
    done = shell(make_spec(), tmp_path, "", Terminal(False, 8888), f"{tmp_path}:")
    last = done.stdout.splitlines()[-1]
    assert last.startswith("--config=") and "s3cret" not in done.stdout
    file, found = Path(last.removeprefix("--config=")), Config()
    assert "s3cret" not in file.read_text()
    exec(file.read_text(), {"c": found})
    assert (
        found["IdentityProvider"]["token"] == found["ServerApp"]["token"] == found["NotebookApp"]["token"] == "s3cret"
    )
    assert found["ServerApp"]["password"] == found["PasswordIdentityProvider"]["hashed_password"] == ""
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    none = shell(make_spec(), tmp_path, "", Terminal(False, 8888), f"{tmp_path}:")
    assert (none.returncode, none.stdout) == (126, ""), "without them it does not begin"


def notes(**lists: str) -> bytes:
    return "".join(f"{REPORT} {kind}\n" + "".join(f"{line}\n" for line in lines.split())
                   for kind, lines in lists.items()).encode()  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param(notes(pip="a==1 b==2"), notes(pip="a==1 b==2"), [], id="nothing"),
        pytest.param(notes(pip="a==1"), notes(pip="a==1 rich==13.9.4"), ["pip: + rich==13.9.4"], id="one more"),
        pytest.param(notes(pip="a==1"), notes(pip="a==1.1"), ["pip: ~ a 1 -> 1.1"], id="another version"),
        pytest.param(notes(pip="a==1 b==2"), notes(pip="b==2"), ["pip: - a 1"], id="one less"),
        pytest.param(notes(apt="a=1"), notes(apt="a=1 jq=1.6-2.1+b1"), ["apt: + jq=1.6-2.1+b1"], id="of Debian's"),
        pytest.param(notes(apt="a=1", manual="a"), notes(apt="a=1 jq=1.6 libjq1=1.6", manual="a jq"),
                     ["apt: + jq=1.6"], id="what it needs comes by itself"),
        pytest.param(notes(pip="a==1"), notes(pip="a==1 -e @evil==x b;rm==1 c== ==1"), [], id="what is no package"),
        pytest.param(notes(pip="a==1"), b"", [], id="the second notes are missing"),
        pytest.param(b"", notes(pip="a==1"), [], id="the first notes are missing"),
        pytest.param(notes(pip="a==1"), b"\xff\x00\n" + notes(pip="b==1 a==1"), ["pip: + b==1"], id="and rubbish"),
    ],
)  # fmt: skip
def test_what_is_otherwise_after_it_is_told(before: bytes, after: bytes, said: list[str]) -> None:
    assert [str(change) for change in installed_by_hand(before, after)] == said


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_notes_make_it_fail_or_print_what_is_not_plain(before: bytes, after: bytes) -> None:
    head = f"{REPORT} pip\n".encode()
    for change in installed_by_hand(head + before, head + after):
        assert str(change).isprintable()

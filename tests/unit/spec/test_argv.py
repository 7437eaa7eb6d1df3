"""Promise: a list is arguments, a script is `sh -eu` with pipefail where there is one, and its line numbers hold."""

import shutil
import subprocess

import pytest

from reconciler.model.job import JobSpec, Schedule, ScheduleKind
from reconciler.spec.argv import command_argv, container_command, failed_phase, final_argv, phases, script_argv

PLAIN = JobSpec("a", "default", Schedule(ScheduleKind.MANUAL), "busybox:1.36")


def spec(**fields: object) -> JobSpec:
    from dataclasses import replace

    return replace(PLAIN, **fields)  # type: ignore[arg-type]


CASES = {
    "nothing said": ({}, None, (None, None)),
    "a command alone": ({"command": ("a", "b")}, ("a", "b"), (None, ("a", "b"))),
    "an entrypoint alone": ({"entrypoint": ("e",)}, ("e",), (("e",), None)),
    "both": ({"entrypoint": ("e",), "command": ("a",)}, ("e", "a"), (("e",), ("a",))),
    "an entrypoint removed": ({"entrypoint": (), "command": ("a",)}, ("a",), (("",), ("a",))),
}


@pytest.mark.parametrize(("fields", "argv", "command"), CASES.values(), ids=CASES)
def test_argv(fields: dict[str, object], argv: object, command: object) -> None:
    assert final_argv(spec(**fields)) == argv
    assert container_command(spec(**fields)) == command


def test_a_script_replaces_the_entrypoint_and_the_images_command() -> None:
    argv = script_argv("echo hello\n")
    assert argv[:3] == ("sh", "-eu", "-c")
    assert container_command(spec(script="echo hello\n")) == (argv, None)
    assert final_argv(spec(script="echo hello\n")) == argv


SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]


def run(shell: str, script: str) -> "subprocess.CompletedProcess[str]":
    argv = script_argv(script)
    head = ["busybox", "sh"] if shell == "busybox" else [shell]
    return subprocess.run([*head, *argv[1:]], capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_ends_at_the_first_command_that_fails(shell: str) -> None:
    result = run(shell, "echo one\nfalse\necho two\n")
    assert (result.returncode, result.stdout, result.stderr) == (1, "one\n", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_ends_at_an_unset_variable_and_names_its_own_line(shell: str) -> None:
    result = run(shell, "echo one\n\necho $nothing_of_the_kind\n")
    assert result.returncode != 0
    assert result.stdout == "one\n"
    if shell != "busybox":  # whose shell names no lines
        assert "line 3" in result.stderr or ": 3:" in result.stderr


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "script", ["#!/bin/sh\necho hi\n", "# a comment\necho hi", "\n\n  echo hi\n", "cat <<E\nhi\nE\n"]
)
def test_a_script_may_begin_with_anything(shell: str, script: str) -> None:
    result = run(shell, script)
    assert (result.returncode, result.stdout, result.stderr) == (0, "hi\n", "")


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell in ("bash", "busybox")])
def test_a_pipe_fails_with_its_first_part_where_the_shell_can(shell: str) -> None:
    result = run(shell, "false | cat\necho unreached\n")
    assert (result.returncode, result.stdout) == (1, "")


# -- what runs before the command ------------------------------------------------------------------------------


def run_whole(shell: str, **fields: object) -> "subprocess.CompletedProcess[str]":
    argv = final_argv(spec(**fields))
    assert argv is not None and container_command(spec(**fields)) == (argv, None)
    head = ["busybox", "sh"] if shell == "busybox" else [shell]
    return subprocess.run([*head, *argv[1:]], capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_start_script_runs_before_the_command_and_the_log_shows_where_each_begins(shell: str) -> None:
    done = run_whole(
        shell, start_script="echo one; cd /; X=1; export X", command=("sh", "-c", 'echo "$0 $1 [$X]"', "a b", "$c")
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[reconciler] start_script\none\n[reconciler] command\na b $c []\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("echo x; false; echo y", 1), ("true\nexit 3", 3)])
def test_a_start_script_that_fails_keeps_the_command_from_starting(shell: str, script: str, code: int) -> None:
    done = run_whole(shell, start_script=script, script="echo never")
    assert done.returncode == code, done
    assert "never" not in done.stdout and "[reconciler] command" not in done.stdout
    assert failed_phase(done.stdout.encode()) == "start_script"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_commands_own_exit_code_is_the_runs_and_is_no_phase_of_its_start(shell: str) -> None:
    done = run_whole(shell, start_script="echo ready", script="echo work\nexit 9")
    assert done.returncode == 9 and failed_phase(done.stdout.encode()) == ""


def test_the_command_that_people_are_shown_is_their_own() -> None:
    made = spec(start_script="echo ready", command=("a", "b"))
    assert command_argv(made) == ("a", "b") and phases(made) == (("start_script", "echo ready"),)
    assert final_argv(spec(start_script="echo ready")) is None, "the image's command is not known here"

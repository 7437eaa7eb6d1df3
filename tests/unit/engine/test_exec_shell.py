"""Promise: the few words of shell that a command in another container stands behind work in every shell there is."""

import os
import shutil
import subprocess

import pytest

from reconciler.engine.docker_exec_body import GATE, GO, MARK, NOT_TOLD, READY, SIGNAL

SHELLS = [words for words in (["sh"], ["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(words[0])]
IDS = [words[0] for words in SHELLS]
ONE, OTHER = "ab" * 16, "cd" * 16
WAITS = "trap 'echo got TERM; exit 9' TERM; echo up; while :; do sleep 0.1; done"


def gate(shell: list[str], said: bytes, *command: str) -> tuple[int, bytes]:
    done = subprocess.run([*shell, "-c", GATE, "reconciler", *command], input=said, stdout=subprocess.PIPE, timeout=30)
    return done.returncode, done.stdout


@pytest.mark.parametrize("shell", SHELLS, ids=IDS)
def test_R1_only_the_word_lets_it_go(shell: list[str]) -> None:
    assert gate(shell, GO, "sh", "-c", 'echo "$0"; exit 7', "a  *") == (7, READY + b"a  *\n")
    assert gate(shell, GO + b"secret\n", "cat") == (0, READY)  # nor is there anything else for it to read
    for said in (b"", b"g", GO[:-1], b"no\n"):
        assert gate(shell, said, "echo", "ran") == (NOT_TOLD, READY)


@pytest.mark.parametrize("shell", SHELLS, ids=IDS)
def test_R4_a_signal_reaches_those_of_the_mark_and_no_others(shell: list[str]) -> None:
    def begin(mark: str) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.environ["PATH"], "LINES": "a\nb", MARK: mark, "Z": "z"}
        child = subprocess.Popen(["sh", "-c", WAITS], env=environment, stdout=subprocess.PIPE, start_new_session=True)
        assert child.stdout is not None and child.stdout.readline() == b"up\n"
        return child

    meant, spared = begin(ONE), begin(OTHER)
    try:
        done = subprocess.run([*shell, "-c", SIGNAL, "reconciler", "TERM", ONE], capture_output=True, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert (meant.communicate(timeout=30)[0], meant.returncode) == (b"got TERM\n", 9)
        assert spared.poll() is None
    finally:
        for child in (meant, spared):
            child.kill()
            child.communicate()

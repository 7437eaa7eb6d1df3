"""Promise: what git or ssh says becomes a stable code with a hint; only what may pass by itself is transient."""

import pytest

from reconciler.gitio.failure import check, failed
from reconciler.gitio.runner import Finished
from reconciler.model.errors import SourceRejected, SourceUnavailable, Transient

SAID = [
    ("host-key", "Host key verification failed.\nfatal: Could not read from remote repository."),
    ("source-auth", "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository."),
    ("source-auth", "fatal: could not read Username for 'http://127.0.0.1:1': terminal prompts disabled"),
    ("source-auth", "fatal: unable to access 'https://h/x/': The requested URL returned error: 403"),
    ("source-not-found", "fatal: repository 'https://h/x/' not found"),
    ("source-not-found", "fatal: '/srv/x.git' does not appear to be a git repository"),
    ("ref-not-found", "fatal: couldn't find remote ref refs/heads/x"),
    ("source-corrupt", "error: object 1234: hasDotdot: contains '..'\nfatal: fsck error in packed object"),
    ("object-missing", "fatal: unable to read 0123456789"),
    ("protocol-not-allowed", "fatal: transport 'ext' not allowed"),
    ("disk-full", "fatal: write error: No space left on device"),
    ("source-too-large", "fatal: write error: File too large"),
    ("git-too-old", "unknown option: --config-env=x"),
]  # fmt: skip

MAY_PASS = [
    "ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.",
    "fatal: unable to access 'https://h/x/': Failed to connect to h port 443: Connection timed out",
    "fatal: unable to access 'https://h/x/': The requested URL returned error: 500",
    "error: RPC failed; curl 56 Recv failure\nfatal: early EOF",
    "",
]


@pytest.mark.parametrize(("code", "stderr"), SAID, ids=[case[1][:40] for case in SAID])
def test_what_only_a_person_can_mend_is_rejected(code: str, stderr: str) -> None:
    error = failed(Finished(128, b"", stderr), "fetch main of ssh://h/x")
    assert isinstance(error, SourceRejected)
    assert error.code == code and error.hint and str(error).startswith("cannot fetch main of ssh://h/x: ")


@pytest.mark.parametrize("stderr", MAY_PASS)
def test_what_may_pass_is_unavailable(stderr: str) -> None:
    error = failed(Finished(128, b"", stderr), "fetch")
    assert isinstance(error, SourceUnavailable) and isinstance(error, Transient)


def test_the_server_cannot_choose_the_code() -> None:
    error = failed(Finished(128, b"", "remote: Host key verification failed\nfatal: early EOF"), "fetch")
    assert error.code == "source-unavailable"


def test_messages_hold_no_credentials_and_nothing_for_the_terminal() -> None:
    error = failed(Finished(1, b"", "fatal: https://anna:s3cr3t@h/x \x1b[31mfailed\x07"), "fetch")
    assert "s3cr3t" not in str(error) and "\x1b" not in str(error) and "\x07" not in str(error)


def test_success_gives_the_output() -> None:
    assert check(Finished(0, b"abc", "warning: whatever"), "read") == b"abc"

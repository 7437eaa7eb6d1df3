"""What git said when it failed -> one of our errors with a stable code and a hint, without secrets."""

import re

from ..model.errors import ReconcilerError, SourceRejected, SourceUnavailable
from .profile import NOTHING, Access
from .runner import Finished

_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a1-\u167f]")  # terminals obey the rest
_SIGXFSZ = 25
_NOT_TELLING = (
    "remote:",
    "hint:",
    "fatal: Could not read from remote",
)  # the server's own words; what follows any ssh failure

# Pattern in git's or ssh's own words (LC_ALL=C.UTF-8), our code, our hint. The first that matches counts.
_PERMANENT = tuple(
    (re.compile(pattern, re.IGNORECASE), code, hint)
    for pattern, code, hint in (
        (r"host key verification failed|host identification has changed", "host-key",
         "compare the server's key with its operator, then put it into `git.known_hosts`"),
        (r"unprotected private key file|bad permissions", "key-file", "chmod 600 the deploy key, owned by the service"),
        (r"identity file .* not accessible|error in libcrypto|invalid format", "key-file",
         "check `git.deploy_keys`: the key file must be a private key without a passphrase"),
        (r"permission denied \(|authentication failed|could not read (username|password)|returned error: 40[13]",
         "source-auth", "check `git.deploy_keys` or `git.tokens` of the service file"),
        (r"couldn't find remote ref|not our ref|unadvertised object", "ref-not-found",
         "name a branch or tag that the server has"),
        (r"not found|does not appear to be a git repository|does not exist|not a git repository|invalid gitfile",
         "source-not-found", "check `source.url`, and that the credentials may see it"),
        (r"file too large|file size limit exceeded|died of signal 25", "source-too-large",
         "keep big files out of the job repository"),
        (r"no space left|disk quota", "disk-full", "free space below the state directory"),
        (r"transport '[^']*' not allowed|redirect", "protocol-not-allowed", "give the final https:// or ssh:// URL"),
        (r"certificate|ssl", "tls", "the server's certificate must be one that this machine trusts"),
        (r"unknown option: --config-env", "git-too-old", "git 2.31 or later is needed"),
        (r"hash mismatch|fsck error|fsck-objects|"
         r"object .*: (has|bad|missing|duplicate|zeroPadded|gitmodules|treeNotSorted)",
         "source-corrupt", "`git fsck --full` in the repository names the object"),
        (r"(unable to|could not|cannot) read|corrupt|loose object|bad object|not a tree object|missing",
         "object-missing",
         "`git fsck --full` in the repository names the object"),
    )
)  # fmt: skip


def check(done: Finished, doing: str, access: Access = NOTHING) -> bytes:
    """stdout of a child that succeeded. `doing` reads "fetch main of ssh://..."; raises what `failed` makes."""
    if done.status == 0:
        return done.stdout
    raise failed(done, doing, access)


def failed(done: Finished, doing: str, access: Access = NOTHING) -> ReconcilerError:
    """The error for a child that failed: permanent where only a person can help, else transient."""
    why = scrub(_reason(done.stderr), access) or f"git ended with status {done.status}"
    if done.status == -_SIGXFSZ:
        return SourceRejected(f"cannot {doing}: a file grew beyond its bound", code="source-too-large")
    own = "\n".join(line for line in done.stderr.splitlines() if not line.startswith(_NOT_TELLING))
    for pattern, code, hint in _PERMANENT:
        if pattern.search(own):
            return SourceRejected(f"cannot {doing}: {why}", code=code, hint=hint)
    return SourceUnavailable(f"cannot {doing}: {why}", hint="it is tried again; nothing is retired meanwhile")


def scrub(text: str, access: Access = NOTHING) -> str:
    """`text` without credentials and without anything that a terminal would obey."""
    for secret in access.secrets:
        text = text.replace(secret, "...")
    return _UNPRINTABLE.sub("?", _CREDENTIALS.sub("//...@", text))


def _reason(stderr: str) -> str:
    """The line that says most: the first `fatal:` or `error:`, else the last one of ssh's."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    for prefix in ("error: object", "error: RPC", "fatal: "):
        for line in lines:
            if line.startswith(prefix) and "Could not read from remote repository" not in line:
                return line.removeprefix("fatal: ").removeprefix("error: ")[:300]
    spoken = [
        line
        for line in lines
        if not line.startswith(("remote:", "hint:", "fatal:", "Please make sure", "and the repo"))
    ]
    return (spoken or lines or [""])[-1].removeprefix("error: ")[:300]

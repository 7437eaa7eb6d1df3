"""What git, its content or the disk refused -> the error that a run without its code has, with a code of its own."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..model.errors import (
    CodeRejected,
    CodeUnavailable,
    ReconcilerError,
    SourceRejected,
    SourceUnavailable,
    StateError,
)
from ..model.job import JobSpec

# What git calls it, what it is for the code of a run, what to do. Other refusals are `code-rejected`.
KNOWN = (
    ("ref-not-found ref-ambiguous", "code-ref-missing", "push it, or correct `ref` (`--ref` of the run)"),
    ("host-key", "code-host-key",
     "compare the server's key with its operator, then put it into `git.known_hosts` of the service file"),
    ("source-auth key-file token-file known-hosts", "code-auth",
     "look at the owner's `deploy_keys` or `tokens` in the service file"),
    ("source-not-found", "code-not-found", "check `url` of the job file, and that the owner's key may see it"),
    ("source-too-large", "code-too-big",
     "`limits.repository_bytes` of the service file, or `subpath` in the job file"),
)  # fmt: skip


@contextmanager
def as_code_errors(spec: JobSpec) -> Iterator[None]:
    """git's failures by the names that they have for a run."""
    try:
        yield
    except SourceUnavailable as error:
        raise CodeUnavailable(str(error), hint="it is tried again until the run's deadline") from error
    except SourceRejected as error:
        if is_full(error):
            raise StateError(str(error), code="disk-full", hint=error.hint) from error
        raise rejected(error) from error
    except OSError as error:
        raise StateError(f"cannot stage the code of {spec.name}: {os.strerror(error.errno or 0)}",
                         code="disk-full" if is_full(error) else "state-error") from error  # fmt: skip


def is_full(error: SourceRejected | OSError) -> bool:
    """Is it the disk?"""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return error.code == "disk-full"


def rejected(error: ReconcilerError) -> CodeRejected:
    for theirs, code, hint in KNOWN:
        if error.code in theirs.split():
            return CodeRejected(str(error), code=code, hint=hint)
    own = error.code if error.code.startswith("code-") else ""
    return CodeRejected(str(error), code=own or CodeRejected.code, hint=error.hint)

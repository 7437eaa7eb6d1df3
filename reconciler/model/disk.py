"""What the host's disk refuses, as an error of ours: one border for all that keep files."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import StateError

FULL, REFUSED = "free space there", "the service's user must be able to write there"


@contextmanager
def on_disk(doing: str) -> Iterator[None]:
    """Turn an OSError of the block into the StateError `cannot <doing>: ...` (`disk-full`, `state-error`)."""
    try:
        yield
    except OSError as error:
        raise refused(doing, error) from error


def refused(doing: str, error: OSError, *, full: str = FULL, other: str = REFUSED) -> StateError:
    """`full` and `other` say what to do."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return StateError(f"cannot {doing}: {error.strerror}", code="disk-full" if is_full else "state-error",
                      hint=full if is_full else other)  # fmt: skip

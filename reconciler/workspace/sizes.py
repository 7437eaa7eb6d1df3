"""In: a directory. Out: the bytes that it takes on the disk."""

import os
from pathlib import Path


def size_of(path: Path) -> int:
    """Bytes on the disk."""
    size = 0
    for directory, _, files in os.walk(path):
        for name in files:
            try:
                size += os.lstat(f"{directory}/{name}").st_blocks * 512
            except OSError:
                continue
    return size

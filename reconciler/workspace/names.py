"""In: a run's id. Out: the name of its directory."""

import hashlib

LONGEST_NAME = 200  # characters; the rest of what a file system takes is for what is put before or behind it


def place_name(run_id: str) -> str:
    """A file name for a run, whatever the length of its job's name."""
    if len(run_id) <= LONGEST_NAME:
        return run_id
    return f"{hashlib.sha256(run_id.encode()).hexdigest()}.{run_id[65 - LONGEST_NAME :]}"

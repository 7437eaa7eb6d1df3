"""In: a name and what is spread. Out: a number that is always the same for them (`H`, and rule T9's jitter)."""

from hashlib import sha256


def spread(name: str, what: str, size: int) -> int:
    """From 0 to size - 1, evenly over names; `what` keeps minute and hour of one job independent of each other."""
    return int.from_bytes(sha256(f"{name}\0{what}".encode()).digest()[:8]) % size

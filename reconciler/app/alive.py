"""A file's time -> when a service on this state directory was last seen working."""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(slots=True)
class Alive:
    """When this process was last seen working: a file's time, touched now and then and never synced."""

    path: Path
    every: float = 10.0
    touched: float = 0.0

    def last(self) -> datetime | None:
        try:
            return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)
        except OSError:
            return None

    def __call__(self, now: datetime) -> None:
        if abs(now.timestamp() - self.touched) >= self.every:
            self.touched = now.timestamp()
            with contextlib.suppress(OSError):  # a full disk is noticed where it matters
                self.path.touch()

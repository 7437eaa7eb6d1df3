"""What a run's checkouts are, kept beside them once they are whole; and what git in the run is told of them."""

import json
from dataclasses import dataclass
from pathlib import Path

from ..model.job import JobSpec
from ..model.run import CodeAt

_SAID = "code.json"


@dataclass(frozen=True, slots=True)
class Checkouts:
    """`code`: their commits, in the order of the job file; `dropped`: links that led out; `parts`: submodules. The last
    two as paths in the container. `size`: bytes that they took when they were made."""

    run_id: str
    size: int
    code: tuple[CodeAt, ...]
    dropped: tuple[str, ...]
    parts: tuple[str, ...]

    def environment(self, spec: JobSpec) -> tuple[tuple[str, str], ...]:
        """RECONCILER_COMMIT; and git in the run shall use the checkouts, whoever they belong to."""
        found = [("RECONCILER_COMMIT", self.code[0].commit)]
        if "GIT_CONFIG_COUNT" not in spec.env:
            places = [*(item.target for item in self.code), *self.parts]
            found.append(("GIT_CONFIG_COUNT", str(len(places))))
            for number, place in enumerate(places):
                found += [(f"GIT_CONFIG_KEY_{number}", "safe.directory"), (f"GIT_CONFIG_VALUE_{number}", place)]
        return tuple(found)


def read(place: Path) -> Checkouts | None:
    """Those at `place` if they are whole."""
    try:
        said = json.loads((place / _SAID).read_bytes())
        code = tuple(CodeAt(*item) for item in said["code"])
        return Checkouts(said["run"], said["size"], code, tuple(said["dropped"]), tuple(said["parts"]))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def write(place: Path, made: Checkouts) -> None:
    """Last of all: they are whole."""
    half = place / f".{_SAID}"
    said = {"run": made.run_id, "size": made.size, "code": made.code, "dropped": made.dropped, "parts": made.parts}
    half.write_text(json.dumps(said), "utf-8")
    half.chmod(0o600)
    half.replace(place / _SAID)

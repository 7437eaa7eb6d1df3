"""In: this host. Out: the UUIDs of its GPUs. Bounded in time; what cannot be found is not there."""

import re
import shutil
import subprocess
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/gpus")
PROGRAM = "nvidia-smi"
PATIENCE = 5.0  # seconds; a driver that hangs must not keep the service from starting
MOST = 64
_UUID = re.compile(r"GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def find_gpus(driver: Path = DRIVER, program: str = PROGRAM, patience: float = PATIENCE) -> tuple[str, ...]:
    """In the host's order. The kernel module is asked first: it answers at once, in a closed-in service too, but knows
    no UUID of a GPU that nobody has used since the machine was started."""
    told = _told_by_driver(driver)
    if told is None:
        told = _told_by_program(program, patience)
    return tuple(dict.fromkeys(told))[:MOST]


def _told_by_driver(driver: Path) -> list[str] | None:
    """None = it cannot tell of each, or there is no driver."""
    try:
        texts = [(place / "information").read_text("utf-8", "replace") for place in sorted(driver.iterdir())]
    except OSError:
        return None
    found = [_UUID.search(text) for text in texts]
    return [match[0] for match in found if match] if texts and all(found) else None


def _told_by_program(program: str, patience: float) -> list[str]:
    path = shutil.which(program)
    if path is None:
        return []
    try:
        said = subprocess.run(
            [path, "-L"], capture_output=True, timeout=patience, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return []
    text = said.stdout[: 1 << 16].decode("utf-8", "replace")
    return _UUID.findall(text) if said.returncode == 0 else []

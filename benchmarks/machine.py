"""In: this machine. Out: the facts that a figure means nothing without."""

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def facts() -> dict[str, str]:
    """What, and which, in the order of the page."""
    one, five, fifteen = os.getloadavg()
    return {
        "taken": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": said("git", "rev-parse", "--short", "HEAD"),
        "cores": f"{os.cpu_count()} ({_processor()})",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "load": f"{one:.1f} {five:.1f} {fifteen:.1f} when the run began; more than the cores is too much",
        "kernel": platform.release(),
        "Python": f"{platform.python_version()}, PyYAML {version('pyyaml')}, docker-py {version('docker')}, "
                  f"GitPython {version('gitpython')}, jsonschema {version('jsonschema')}",
        "Docker": number(said("dockerd", "--version")),
        "git": number(said("git", "--version")),
    }  # fmt: skip


def said(*argv: str) -> str:
    """What a program says; "" if there is none, or it fails."""
    if shutil.which(argv[0]) is None:
        return ""
    done = subprocess.run(argv, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else ""


def number(text: str) -> str:
    """The version in a program's sentence about itself."""
    found = re.search(r"\d+(?:\.\d+)+\S*", text)
    return found[0].rstrip(",") if found else "none"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

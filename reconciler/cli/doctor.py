"""Examine this machine and the state directory: each line is ok, a warning or a fault with what to do. Changes nothing.

Exit code 0: no fault; 1: at least one.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.errors import ReconcilerError

if TYPE_CHECKING:
    from ..model.service import ServiceConfig

OK, WARN, FAULT = "ok", "warning", "fault"
MIN_FREE = 200 * 1024 * 1024  # bytes
Finding = tuple[str, str, str, str]  # level, what, how it is, hint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(args: argparse.Namespace) -> int:
    from .context import settings
    from .output import plain, print_json

    findings = list(examine(settings(args)))
    if args.output == "json":
        print_json([dict(zip(("level", "what", "found", "hint"), row, strict=True)) for row in findings])
    else:
        for level, what, found, hint in findings:
            print(f"{level:<8}{what:<12}{plain(found)}" + (f"\n{'':20}{plain(hint)}" if hint and level != OK else ""))
    return 1 if any(row[0] == FAULT for row in findings) else 0


def examine(config: "ServiceConfig") -> Iterator[Finding]:
    yield _python()
    yield _git()
    yield _sqlite()
    yield from _state(config)
    yield _guarded("source", lambda: _source(config))
    yield _guarded("engine", lambda: _engine(config))
    yield _service(config)


def _python() -> Finding:
    return (OK, "python", sys.version.split()[0], "")


def _git() -> Finding:
    try:
        said = subprocess.run(["git", "--version"], capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return (FAULT, "git", "there is no git on PATH", "apt install git")
    parts = tuple(int(p) for p in said.split()[2].split(".")[:2] if p.isdigit()) if len(said.split()) > 2 else ()
    level = OK if parts >= (2, 39) else WARN
    return (level, "git", said, "2.39 or later is what is tested")


def _sqlite() -> Finding:
    fine = sqlite3.sqlite_version_info >= (3, 37)
    return (OK if fine else FAULT, "sqlite", sqlite3.sqlite_version, "3.37 or later is needed (STRICT tables)")


def _state(config: "ServiceConfig") -> Iterator[Finding]:
    path = Path(config.state_dir)
    if not path.is_dir():
        yield (WARN, "state", f"{path} does not exist yet", "the first start makes it")
        return
    free = shutil.disk_usage(path).free
    level = OK if free > MIN_FREE else FAULT
    yield (level, "disk", f"{free / 1e6:.0f} MB free at {path}", "runs are not started when their start cannot be recorded")
    if not os.access(path, os.R_OK | os.X_OK):
        yield (WARN, "state", f"{path} is not readable for this user", "join the group 'reconciler', or ask root")
        return
    yield _guarded("ledger", lambda: _ledger(config))


def _ledger(config: "ServiceConfig") -> Finding:
    from .context import ledger

    with ledger(config) as history:
        return (OK, "ledger", f"{len(history.standing())} jobs, {len(history.active_runs())} open runs", "")


def _source(config: "ServiceConfig") -> Finding:
    from ..app.oneshot import desired_once

    desired, _ = desired_once(config)
    level = WARN if desired.errors or desired.missing_paths else OK
    return (level, "source", f"{config.source.url} at {desired.commit.short}: {len(desired.jobs)} jobs, "
            f"{len(desired.errors)} problems", "reconciler validate")  # fmt: skip


def _engine(config: "ServiceConfig") -> Finding:
    from ..app.oneshot import engine_line

    return (OK, "engine", engine_line(config), "")


def _service(config: "ServiceConfig") -> Finding:
    from .context import ask

    try:
        said = ask(config, "GET", "/v1/status", timeout=5.0)
    except ReconcilerError as error:
        return (WARN, "service", str(error), error.hint)
    if said["degraded"]:
        return (FAULT, "service", "; ".join(said["degraded"]), "docs/operate.md tells what each code means")
    return (OK, "service", f"pid {said['pid']}, version {said['version']}, {said['jobs']} jobs", "")


def _guarded(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except ReconcilerError as error:
        return (FAULT, what, f"{error} [{error.code}]", error.hint)

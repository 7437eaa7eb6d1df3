"""Examine this machine and the state directory: each line is ok, a warning or a fault with what to do. Changes nothing.

`--code` asks the server of each repository that a job takes code from, once, for the refs that jobs name.

Exit code 0: no fault; 1: at least one.
"""

import argparse
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..daemon.settings import socket_path
from ..model.errors import ReconcilerError
from .output import count

if TYPE_CHECKING:
    from ..model.service import ServiceConfig

OK, WARN, FAULT = "ok", "warning", "fault"
MIN_FREE = 200 * 1024 * 1024  # bytes
TESTED_GIT, NEEDED_GIT = (2, 39), (2, 31)
Finding = tuple[str, str, str, str]  # level, what, how it is, hint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")
    parser.add_argument("--code", action="store_true", help="ask the servers of all code for the refs that jobs name")


def run(args: argparse.Namespace) -> int:
    from .context import settings, stated
    from .output import plain, print_json, working

    config = settings(args)
    stated_source = stated(args).source is not None or config.source.url != str(Path.cwd())
    with working("examining"):
        findings = list(examine(config, stated_source=stated_source))
        if args.code:
            findings += code(config)
    if args.output == "json":
        print_json([dict(zip(("level", "what", "found", "hint"), row, strict=True)) for row in findings])
    else:
        for level, what, found, hint in findings:
            print(f"{level:<9}{what:<10}{plain(found)}" + (f"\n{'':19}{plain(hint)}" if hint and level != OK else ""))
    return 1 if any(row[0] == FAULT for row in findings) else 0


def examine(config: "ServiceConfig", *, stated_source: bool) -> Iterator[Finding]:
    """`stated_source`: somebody has said where the jobs come from; if not, this directory need not be a repository."""
    yield (OK, "python", sys.version.split()[0], "")
    yield _git()
    fine = sqlite3.sqlite_version_info >= (3, 37)
    yield (OK if fine else FAULT, "sqlite", sqlite3.sqlite_version, "3.37 or later is needed (STRICT tables)")
    yield from _state(config)
    if stated_source or (Path(config.source.url) / ".git").exists():
        yield _guarded("source", lambda: _source(config))
    else:
        yield (WARN, "source", "none is named here", "to look at one: --source, RECONCILER_SOURCE or a service file")
    yield _guarded("engine", lambda: _engine(config))
    if config.engine not in ("process", "memory"):
        yield from address_of_engine(config)
    if config.secret_stores:
        yield from _secrets(config)
    yield _service(config)
    yield from people(config)


def address_of_engine(config: "ServiceConfig") -> Iterator[Finding]:
    """Who reaches the Docker Engine is root on its host, and plain tcp asks nobody who they are."""
    from ..engine.docker_address import address, is_unprotected

    if is_unprotected(address(config.docker_host)):
        hint = "tcp with TLS and DOCKER_TLS_VERIFY, or a socket: docs/engines.md, 'An Engine on another host'"
        yield (WARN, "engine", "plain tcp: whoever reaches that port is root on the Engine's host", hint)


def people(config: "ServiceConfig") -> Iterator[Finding]:
    """Accounts that the service file names and this host does not have, and members who would not get as far as the
    socket."""
    for person in config.people:
        if person.unix and not _account(person.unix):
            hint = f"make it, or correct people.{person.name}.unix in the service file"
            yield (WARN, "people", f"{person.name}: there is no user {person.unix} on this host", hint)
    closed = next((folder for folder in socket_path(config).parents if _closed(folder)), None)
    if config.has_accounts and closed is not None:
        hint = "set runtime_dir in the service file to a directory that all users may pass through"
        yield (WARN, "people", f"members cannot reach the socket: {closed} is closed to them", hint)


def _closed(folder: Path) -> bool:
    try:
        return not folder.stat().st_mode & 0o001
    except OSError:
        return False  # not there yet


def _account(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _git() -> Finding:
    try:
        done = subprocess.run(["git", "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return (FAULT, "git", "there is no git on PATH", "apt install git")
    words = done.stdout.split()
    parts = tuple(int(p) for p in words[2].split(".")[:2] if p.isdigit()) if len(words) > 2 else ()
    level = FAULT if parts < NEEDED_GIT else WARN if parts < TESTED_GIT else OK
    return (level, "git", " ".join(words[2:3]) or "no answer", "2.31 or later is needed, 2.39 or later is tested")


def _state(config: "ServiceConfig") -> Iterator[Finding]:
    path = Path(config.state_dir)
    try:
        free = shutil.disk_usage(path).free
    except FileNotFoundError:
        yield (WARN, "state", f"{path} does not exist yet", "the first start makes it")
        return
    except OSError as error:
        yield (WARN, "state", f"cannot look at {path}: {error.strerror}", "join the group 'reconciler', or ask root")
        return
    level = OK if free > MIN_FREE else FAULT
    yield (
        level,
        "disk",
        f"{free / 1e6:.0f} MB free at {path}",
        "runs are not started when their start cannot be recorded",
    )
    if not os.access(path, os.R_OK | os.X_OK):
        yield (WARN, "state", f"{path} is not readable for this user", "join the group 'reconciler', or ask root")
        return
    yield _guarded("ledger", lambda: _ledger(config))


def _ledger(config: "ServiceConfig") -> Finding:
    from .context import ledger

    with ledger(config) as history:
        jobs, runs = len(history.standing()), len(history.active_runs())
    return (OK, "ledger", f"{count(jobs, 'job')}, {count(runs, 'open run')}", "")


def _source(config: "ServiceConfig") -> Finding:
    from ..app.reading import desired_once

    desired = desired_once(config)
    level = WARN if desired.errors or desired.missing_paths else OK
    found = f"{count(len(desired.jobs), 'job')}, {count(len(desired.errors), 'problem')}"
    signed = f", signed by {desired.commit.signed_by}" if desired.commit.signed_by else ""
    found += f", no jobs directory {desired.missing_paths[0] or '.'}" if desired.missing_paths else ""
    return (level, "source", f"{config.source.url} at {desired.commit.short}{signed}: {found}", "reconciler validate")


def code(config: "ServiceConfig") -> Iterator[Finding]:
    """Of each ref that a job names: the commit that a run would have now, or why it would have none."""
    from ..app.code_check import check_code
    from ..app.reading import desired_once

    try:
        found = check_code(config, [job.spec for job in desired_once(config).jobs.values()])
    except ReconcilerError as error:
        yield (FAULT, "code", f"{error} [{error.code}]", error.hint)
        return
    for item in found:
        who = ", ".join(item.jobs[:3]) + (f" and {len(item.jobs) - 3} more" if len(item.jobs) > 3 else "")
        if item.error is not None:
            yield (FAULT, "code", f"{who}: {item.error} [{item.error.code}]", item.error.hint)
        else:
            yield (OK, "code", f"{item.ref} of {item.url} is {item.commit[:12]}: {who}", "")
    if not found:
        yield (OK, "code", "no job takes code from git", "")


def _engine(config: "ServiceConfig") -> Finding:
    from ..app.oneshot import engine_line

    return (OK, "engine", engine_line(config), "")


def _secrets(config: "ServiceConfig") -> Iterator[Finding]:
    """Names are counted; no value is read."""
    from ..app.secrets import places, with_secrets
    from ..workspace.memory_place import choose

    for store in with_secrets(config).secret_stores:
        level = OK if not store.fault else WARN if "Permission denied" in store.fault else FAULT
        counted = "" if store.names is None else f": {count(len(store.names), 'secret')}"
        yield (level, "secrets", store.fault or store.words + counted, "docs/secrets.md says who must own it")
    yield _guarded(
        "memory", lambda: (OK, "memory", f"secrets of runs lie below {choose(places(config, '')).parent}", "")
    )


def _service(config: "ServiceConfig") -> Finding:
    from .context import service_status

    said, degraded = service_status(config)
    if not said:
        hint = "start it: systemctl start reconciler, or reconciler serve"
        if "[service-not-running]" not in degraded[0]:
            hint = "docs/operate.md tells what the code means; its log: journalctl -u reconciler"
        return (WARN, "service", degraded[0], hint)
    if degraded:
        return (FAULT, "service", "; ".join(degraded), "docs/operate.md tells what each code means")
    return (OK, "service", f"pid {said['pid']}, version {said['version']}, {count(said['jobs'], 'job')}", "")


def _guarded(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except ReconcilerError as error:
        if error.code == "state-absent":
            return (WARN, what, "there is none yet", "the first start makes it")
        return (FAULT, what, f"{error} [{error.code}]", error.hint)

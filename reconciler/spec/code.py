"""In: `repositories` of a job file. Out: what is to be checked out for each run, or why it cannot be (rule S5)."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from posixpath import normpath
from typing import Any

from ..model.errors import SourceRejected
from ..model.job import CodeRepository
from .fields import Report, check_target
from .giturl import Address, Kind, matches, parse_ref, parse_url


def repositories(value: Any, report: Report) -> tuple[CodeRepository, ...]:
    """In file order; each on a target of its own."""
    found = []
    for index, item in enumerate(value):
        place = str(index)
        check_target(item["target"], (place, "target"), report)
        _check_url(item["url"], place, report)
        _check_ref(item.get("ref", "HEAD"), place, report)
        subpath = item.get("subpath", "").rstrip("/")
        if subpath and (subpath.startswith("/") or normpath(subpath) != subpath or _climbs(subpath)):
            message = "must be a relative path that stays in the repository, outside .git"
            report((place, "subpath"), "subpath-invalid", message)
        ref, depth, submodules = item.get("ref", "HEAD"), item.get("depth", 0), item.get("submodules", False)
        found.append(CodeRepository(item["url"], item["target"], ref, subpath, depth, submodules))
    return tuple(found)


def allowed(url: str, patterns: Iterable[str] | None) -> bool:
    """May code be taken from there? None = not restricted: over https and ssh, to any host. This host's own paths and
    its plain http are for those alone whose pattern names them."""
    address = parse_url(url)
    if patterns is None:
        return address.kind in (Kind.HTTPS, Kind.SSH)
    return any(_covers(pattern, address) for pattern in patterns)


def _covers(pattern: str, address: Address) -> bool:
    if address.kind is Kind.LOCAL:
        path = address.path
        return pattern.startswith("/") and normpath(path) == path and fnmatchcase(path, pattern)
    return not pattern.startswith("/") and matches(pattern, address)


def _climbs(path: str) -> bool:
    return any(part.lower() in ("..", ".git") for part in path.split("/"))


def _check_url(url: str, place: str, report: Report) -> None:
    try:
        address = parse_url(url)
    except SourceRejected as error:
        report((place, "url"), error.code, str(error), error.hint)
        return
    if address.kind is Kind.DIRECTORY or (address.kind is Kind.LOCAL and not address.path.startswith("/")):
        hint = "https://, ssh://, user@host:path, or an absolute path that policy lists"
        report((place, "url"), "url-invalid", "code comes from a git repository by its whole URL", hint)


def _check_ref(ref: str, place: str, report: Report) -> None:
    try:
        parse_ref(ref)
    except SourceRejected as error:
        report((place, "ref"), error.code, str(error), error.hint)

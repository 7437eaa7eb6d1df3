"""In: a job whose lists of packages are files of its code, and the run's checkout. Out: the job with the lists."""

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from ..model.errors import EngineRejected
from ..model.job import JobSpec
from ..model.workspace import Workspace
from ..spec.schemas import schema

MOST_BYTES, MOST_LINES = 64 << 10, 200
_COMMENT = re.compile(r"(?:\A|\s)#.*")


def with_files(spec: JobSpec, made: Workspace) -> JobSpec:
    """Raises EngineRejected (`packages-file`)."""
    if not spec.packages.files:
        return spec
    found = {name: _lines(spec, name, path, _read(spec, path, made)) for name, path in spec.packages.files}
    lists: dict[str, Any] = {
        name: tuple(dict.fromkeys((*getattr(spec.packages, name), *lines))) for name, lines in found.items()
    }
    return replace(spec, packages=replace(spec.packages, files=(), **lists))


def _read(spec: JobSpec, path: str, made: Workspace) -> bytes:
    """Component by component, so that no link of the code leads to a file of this host."""
    whole = PurePosixPath(spec.repositories[0].target, path) if spec.repositories else PurePosixPath(path)
    for bind in made.binds:
        if whole.is_relative_to(bind.target) and ".." not in whole.parts:
            parts = whole.relative_to(bind.target).parts
            try:
                return _open(bind.source, parts)
            except OSError as error:
                raise _wrong(spec, path, error.strerror or "it cannot be read") from error
    raise _wrong(spec, path, "it is in none of the job's repositories")


def _open(folder: str, parts: tuple[str, ...]) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(folder, flags | os.O_DIRECTORY)
    try:
        for number, part in enumerate(parts, 1):
            inner = os.open(part, flags | (0 if number == len(parts) else os.O_DIRECTORY), dir_fd=fd)
            os.close(fd)
            fd = inner
        return os.read(fd, MOST_BYTES + 1)
    finally:
        with suppress(OSError):
            os.close(fd)


def _lines(spec: JobSpec, manager: str, path: str, data: bytes) -> list[str]:
    if len(data) > MOST_BYTES:
        raise _wrong(spec, path, f"it has more than {MOST_BYTES >> 10} KiB")
    text = data.decode("utf-8", "replace").replace("\\\r\n", " ").replace("\\\n", " ")
    listed, _ = schema("job")["properties"]["packages"]["properties"][manager]["anyOf"]
    pattern = re.compile(listed["items"]["pattern"])
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        name = _COMMENT.sub("", line).strip()
        if not name:
            continue
        if pattern.search(name) is None or len(name) > 2048:
            raise _wrong(spec, path, f"line {number} is no package; options of {manager} are not taken")
        found.append(name)
    if len(found) > MOST_LINES:
        raise _wrong(spec, path, f"it names more than {MOST_LINES} packages")
    return found


def _wrong(spec: JobSpec, path: str, why: str) -> EngineRejected:
    return EngineRejected(f"cannot install packages of {spec.name} by {path}: {why}", code="packages-file",
                          hint="mend the file in the job's code, or write the list into the job file")  # fmt: skip

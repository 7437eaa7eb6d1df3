"""The records of `git ls-tree -r -z` -> entries and problems. Pure; one record of one file is parsed once.

Only regular files are let through: a symlink is text that names a path, a submodule another repository. What is
refused stays visible as a problem of its own path, so that it can never look like a deleted file (rule D2).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ..model.desired import Entry
from ..model.errors import SourceRejected
from ..model.problem import SpecProblem

MAX_ENTRIES = 50_000
MAX_TOTAL = 64 << 20  # bytes
MAX_FILE = 256 << 10  # bytes
MAX_PATH = 1024  # characters
FILE_MODES = (b"100644", b"100755")
_TEXT_MODES = ("100644", "100755")
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd\ud800-\udfff]")
_PLAIN = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")  # most names, fast
_YAML = (".yaml", ".yml")

Record = Entry | SpecProblem


@dataclass(frozen=True, slots=True)
class Listing:
    """`records` is handed to the next call: what it knows is not parsed again."""

    entries: tuple[Entry, ...]
    problems: tuple[SpecProblem, ...]
    missing: tuple[str, ...]
    records: Mapping[bytes, Record] = field(default_factory=dict, repr=False)


def normal_paths(paths: Sequence[str]) -> tuple[str, ...]:
    """The configured jobs directories without `./` and trailing slashes; ("",) = the whole tree. Raises
    SourceRejected `paths-invalid` if one is absolute, climbs, or lies within another."""
    normal = tuple(dict.fromkeys(_normal(path) for path in paths or ("",)))
    for path in normal:
        others = [other for other in normal if other != path and (other == "" or path.startswith(other + "/"))]
        if others:
            raise SourceRejected(
                f'cannot use the paths "{others[0]}" and "{path}" together: one lies within the other',
                code="paths-invalid", hint="name the outer one alone, or two that are apart",
            )  # fmt: skip
    return normal


def split_records(raw: bytes) -> list[bytes]:
    """The records of a listing. Raises SourceRejected `source-too-large` beyond MAX_ENTRIES."""
    records = raw.split(b"\0")
    records.pop()  # what follows the last NUL
    if len(records) > MAX_ENTRIES:
        raise too_large(f"more than {MAX_ENTRIES:,} files")
    return records


def unseen_blobs(pieces: Sequence[bytes], known: Mapping[bytes, Record]) -> list[str]:
    """Ids of the blobs whose sizes `parse_listing` will ask for."""
    new = [piece.split(b"\t", 1)[0].split() for piece in pieces if piece not in known]
    return list(dict.fromkeys(blob.decode("ascii") for mode, _, blob in new if mode in FILE_MODES))


def parse_listing(
    pieces: Sequence[bytes], roots: Sequence[str], known: Mapping[bytes, Record], sizes: Mapping[str, int]
) -> Listing:
    """The records listed below `roots`; `sizes` in bytes by blob id, of `unseen_blobs`.

    Raises SourceRejected `source-too-large` beyond MAX_TOTAL.
    """
    records = {piece: known.get(piece) or _parse(piece, roots, sizes) for piece in pieces}
    entries = [record for record in records.values() if isinstance(record, Entry)]
    problems = [record for record in records.values() if isinstance(record, SpecProblem)]
    if sum(entry.size for entry in entries) > MAX_TOTAL:
        raise too_large(f"more than {MAX_TOTAL >> 20} MiB")
    if len(records) != len(pieces) or len({entry.full_path for entry in entries}) != len(entries):
        doubled = _doubled(pieces)
        problems += [_twice(_relative(path, roots)) for path in sorted(doubled)]
        entries = [entry for entry in entries if entry.full_path not in doubled]
    missing = tuple(root for root in roots if not _has(root, entries, pieces))
    return Listing(tuple(entries), tuple(problems), missing, records)


def too_large(why: str) -> SourceRejected:
    """The error for a tree beyond its bounds."""
    return SourceRejected(
        f"cannot read the jobs directory: it holds {why}", code="source-too-large",
        hint="point `source.paths` at a smaller directory",
    )  # fmt: skip


def check_file(path: str, full_path: str, size: int) -> SpecProblem | None:
    """What is wrong with the name or size of a regular file; None if nothing is."""
    if not _PLAIN.fullmatch(full_path) and _is_odd(full_path):
        return problem(shown(path), "file-name", "the name of this file is not allowed",
                       "no control characters, no invisible ones, no backslash, no .git, 1024 characters")  # fmt: skip
    if size > MAX_FILE:
        message = f"the file has {size:,} bytes, more than {MAX_FILE:,}"
        hint = "job files are text; keep data in a volume or an image"
        return problem(path, "file-too-large", message, hint, "error" if path.endswith(_YAML) else "warning")
    return None


def problem(path: str, code: str, message: str, hint: str, severity: str = "error") -> SpecProblem:
    """A problem of a whole file."""
    return SpecProblem(path, 1, 1, code, message, hint, severity=severity)


def shown(path: str) -> str:
    """`path` with what could deceive the eye or the terminal escaped."""
    return _ODD.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), path)[:MAX_PATH]


def _parse(record: bytes, roots: Sequence[str], sizes: Mapping[str, int]) -> Record:
    """`100644 blob <id>\\t<path>`"""
    head, _, name = record.partition(b"\t")
    mode, kind, blob = head.decode("ascii").split()
    full_path = _text(name)
    path = _relative(full_path, roots)
    if not path or mode not in _TEXT_MODES or kind != "blob":
        return _not_a_file(mode, shown(path or full_path), is_root=not path)
    return check_file(path, full_path, sizes[blob]) or Entry(path, full_path, blob, sizes[blob])


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _relative(full_path: str, roots: Sequence[str]) -> str:
    """The path below its root; "" for a root itself."""
    for root in roots:
        if not root or full_path == root or full_path.startswith(root + "/"):
            return full_path[len(root) + 1 :] if root else full_path
    return full_path


def _not_a_file(mode: str, path: str, *, is_root: bool) -> SpecProblem:
    what = {"120000": "a symbolic link", "160000": "a submodule"}.get(mode, "a file of an unknown kind")
    if is_root:
        what = {"120000": what, "160000": what}.get(mode, "a file")
        return problem(path, "path-not-a-directory", f"this jobs directory is {what}", "it must be a directory")
    code = {"120000": "symlink", "160000": "submodule"}.get(mode, "file-kind")
    return problem(path, code, f"this is {what}: only regular files are read", "put the file itself here")


def _doubled(pieces: Sequence[bytes]) -> set[str]:
    """Paths that the tree names twice (git makes no such tree, fsck refuses it): neither is used."""
    counts = Counter(piece.partition(b"\t")[2] for piece in pieces)
    return {_text(name) for name, count in counts.items() if count > 1}


def _twice(path: str) -> SpecProblem:
    hint = "`git fsck --full` names the tree; commit the directory anew"
    return problem(shown(path), "file-name", "the tree names this path twice", hint)


def _has(root: str, entries: Sequence[Entry], pieces: Sequence[bytes]) -> bool:
    """True if anything is below `root`, were it only something refused."""
    prefix = root + "/" if root else ""
    if any(entry.full_path.startswith(prefix) for entry in entries):
        return True
    marker = b"\t" + prefix.encode("utf-8", "surrogateescape")
    return any(marker in piece for piece in pieces)


def _is_odd(path: str) -> bool:
    parts = path.split("/")
    climbs = any(part in ("", ".", "..") or part.lower().rstrip(". ") == ".git" for part in parts)
    return climbs or len(path) > MAX_PATH or _ODD.search(path) is not None


def _normal(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or _ODD.search(path):
        raise SourceRejected(
            f"cannot use {shown(path)!r} as a jobs directory: it must lie inside the repository",
            code="paths-invalid", hint="a path relative to the repository's root, such as jobs.d",
        )  # fmt: skip
    return "" if str(pure) == "." else str(pure)

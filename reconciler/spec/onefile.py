"""In: the bytes of one file and the defaults above it. Out: a spec, or every reason why there is none."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath
from typing import NamedTuple

from ..model.job import JobSpec, Location
from ..model.problem import SpecProblem
from ..model.secret import StoreConfig
from ..schedule.calendars import Calendar, read_calendar
from .build import build_spec
from .document import Document, guarded, read_document, read_sound_part
from .exec_in import without_a_container
from .layers import Base, Layer, Merged, make_layer, merge
from .schedules import Pass, calendar_items
from .secrets import files_of


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the commit that goes into one job. `place`: where it is named, `files` and its target, `secrets` with
    the name and the store, or the path to one of `exclude`. `blob` is "" if the commit has no such file."""

    place: tuple[str, ...]
    full_path: str
    blob: str


class Draft(NamedTuple):
    """A job file that was read; what it takes in is known, but not read yet. `merged` None: it cannot be used at all;
    without its `broken` fields if it has such, only to find what else is wrong."""

    name: str
    owner: str
    path: str
    merged: Merged | None
    sources: tuple[Source, ...]
    problems: tuple[SpecProblem, ...]
    broken: frozenset[str] = frozenset()


class Finished(NamedTuple):
    """What a draft came to: the spec and the place of each of its fields, or None and at least one error."""

    spec: JobSpec | None
    lines: Mapping[str, Location]
    problems: tuple[SpecProblem, ...]


def read_layer(data: bytes, path: str, folder: str, *, inherited: bool) -> tuple[Layer | None, tuple[SpecProblem, ...]]:
    """One file on its own: a layer unless a problem is an error. `folder` is its full path in the repository."""
    document = read_document(data, path, "job")
    if not isinstance(document, Document):
        return None, document
    layer = make_layer(document, folder, inherited=inherited)
    return (layer if layer.usable else None), layer.problems


def draft_job(
    data: bytes, name: str, owner: str | None, path: str, folder: str, above: Base,
    blobs: Callable[[], Mapping[str, str]], stores: Sequence[StoreConfig] = (),
) -> Draft:  # fmt: skip
    """`blobs` gives the blob of every file of the snapshot, by full path; `stores` may hold secrets in files of it."""
    own, problems = read_layer(data, path, folder, inherited=False)
    found = list(problems)
    if owner is None:
        message = "no owner of the service file has this path"
        found.append(SpecProblem(path, 1, 1, "no-owner", message, "An administrator lists `owners` and their `paths`."))
    if own is None:
        own = _sound_layer(data, path, folder, found)
    if own is None or owner is None:
        return Draft(name, owner or "", path, None, (), tuple(found))
    broken = _broken(found)
    merged, misplaced = without_a_container(merge(above, own))
    found += misplaced
    sources = _sources(merged, blobs, found)
    for _, secret, store, full_path in files_of(merged.values.get("secrets", ()), stores):
        sources.append(Source(("secrets", secret, store), full_path, blobs().get(full_path, "")))
    return Draft(name, owner, path, merged, tuple(sources), tuple(found), broken)


def _sound_layer(data: bytes, path: str, folder: str, found: list[SpecProblem]) -> Layer | None:
    """What is left of a file of which `found` is wrong, so that its other problems show at once; they join `found`."""
    document = guarded(path, lambda: read_sound_part(data, path, "job", _broken(found)))
    if not isinstance(document, Document):
        return None
    layer = make_layer(document, folder, inherited=False)
    found += [problem for problem in layer.problems if problem not in found]
    broken = _broken(found)
    return layer._replace(values={name: value for name, value in layer.values.items() if name not in broken})


def _broken(problems: Iterable[SpecProblem]) -> frozenset[str]:
    """The top-level fields that have an error."""
    return frozenset(problem.pointer.split("/")[1] for problem in problems if problem.is_error and problem.pointer)


def _sources(merged: Merged, blobs: Callable[[], Mapping[str, str]], problems: list[SpecProblem]) -> list[Source]:
    """Where each `from` and each calendar leads: a path relative to the file that says it, within the commit."""
    named: list[tuple[tuple[str, ...], tuple[str, ...], str]] = [
        (("files", target), ("files", target, "from"), file["from"])
        for target, file in merged.values.get("files", {}).items() if "from" in file
    ]  # fmt: skip
    if isinstance(merged.values.get("schedule"), dict | list):
        named += [(place, place, item) for place, item in calendar_items(merged.values["schedule"])]
    found = []
    for place, tokens, text in named:
        of_files = place[0] == "files"
        folder = merged.layer_of(place[:2]).folder
        path = normpath(f"{folder}/{text}" if folder else text)
        if text.startswith("/") or path.split("/")[0] == ".." or path == ".":
            code, what = ("from-outside", "`from`") if of_files else ("calendar-outside", "a calendar")
            message = f"{what} must be a relative path that stays in the repository"
            problems.append(merged.problem(tokens, code, message))
            continue
        blob = blobs().get(path, "")
        if not blob:
            hint = "Only files below the service's `source.paths` can be taken in."
            hint = hint if of_files else f"`exclude` takes dates such as 2026-12-24, and files. {hint}"
            code = "from-missing" if of_files else "calendar-missing"
            problems.append(merged.problem(tokens, code, f"this commit has no file {path}", hint))
        found.append(Source(place, path, blob))
    return found


def finish_job(draft: Draft, contents: Mapping[str, bytes], shared: Pass) -> Finished:
    """`contents` has, by blob, the bytes of every source that exists."""
    problems = list(draft.problems)
    merged = draft.merged
    if merged is None:
        return Finished(None, {}, draft.problems)
    texts: dict[str, tuple[str, str]] = {}
    calendars: dict[tuple[str, ...], tuple[str, Calendar]] = {}
    sealed: dict[tuple[str, str], bytes] = {}
    for source in draft.sources:
        try:
            if source.blob and source.place[0] == "secrets":
                sealed[source.place[1], source.place[2]] = contents[source.blob]
            elif source.blob and source.place[0] == "files":
                texts[source.place[1]] = (source.full_path, contents[source.blob].decode("utf-8"))
            elif source.blob:
                calendars[source.place] = (source.full_path, _calendar(source.blob, contents, shared))
        except UnicodeDecodeError:
            files = source.place[0] == "files"
            tokens = (*source.place, "from") if files else source.place
            hint = "Binary data belongs into the image or a volume." if files else ""
            code, message = "from-not-text" if files else "calendar-invalid", f"{source.full_path} is not UTF-8 text"
            problems.append(merged.problem(tokens, code, message, hint))
    spec, found = build_spec(draft.name, draft.owner, merged, texts, calendars, sealed, shared)
    problems += [problem for problem in found if not _follows(problem, draft.broken)]
    if any(problem.is_error for problem in problems):
        return Finished(None, {}, tuple(problems))
    return Finished(spec, merged.lines(), tuple(problems))


def _calendar(blob: str, contents: Mapping[str, bytes], shared: Pass) -> Calendar:
    """Read once, however many jobs name it."""
    known = shared.calendars.get(blob)
    if known is None:
        known = shared.calendars[blob] = read_calendar(contents[blob].decode("utf-8"))
    return known


def _follows(problem: SpecProblem, broken: frozenset[str]) -> bool:
    """Is it there only because a broken field was left out?"""
    if problem.pointer:
        return problem.pointer.split("/")[1] in broken
    if problem.code == "image-missing" and "exec_in" in broken:
        return True
    from difflib import get_close_matches

    missing = problem.code.removesuffix("-missing")  # or written with another key, as in `schedul: manual`
    return missing != problem.code and bool(get_close_matches(missing, broken, 1))

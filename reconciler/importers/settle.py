"""In: drafts. Out: job files that the product's own reader takes, each with what had to go for that.

Nothing here knows what is valid: every draft is written out and read as the service would read it, with the
`_defaults.yaml` above it and the policy in force. What is refused is left out, told in the reader's own words, and
the rest is read again.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..model.desired import Commit, DesiredState, Entry, Snapshot
from ..model.problem import SpecProblem
from ..model.secret import StoreConfig
from ..model.service import ServiceConfig
from ..spec.desire import desire
from .draft import Batch, Draft
from .model import JobFile, NoteCode
from .render import flow, render

ROUNDS = 8  # nearly always one or two
_ROOT = "jobs.d"  # of the imagined repository
# Fields without which a job may still do what it is for.
_DETAILS = frozenset({"description", "labels", "resources", "history", "priority", "start_deadline"})
_SHOWN = frozenset({"volumes", "networks", "cap_add"})  # their items are names and paths, never secrets


def settle(batch: Batch) -> tuple[JobFile, ...]:
    """The job files, in the order of the file that they came from."""
    open_drafts = batch.drafts
    files: dict[str, JobFile] = {}
    for _ in range(ROUNDS):
        if not open_drafts:
            break
        texts = {draft.full_name: _text(draft) for draft in open_drafts}
        state = _read(texts, batch.options.defaults, batch.options.config)
        refused = [draft for draft in open_drafts if draft.full_name not in state.jobs]
        for draft in open_drafts:
            if draft.full_name in state.jobs:
                suspended = draft.values.get("suspend") is True
                files[draft.full_name] = JobFile(draft.full_name, texts[draft.full_name], suspended)
        open_drafts = [draft for draft in refused if _mend(draft, _problems(draft, state))]
    for draft in open_drafts:
        _give_up(draft, "what is wrong with it does not end")
    return tuple(files[draft.full_name] for draft in batch.drafts if draft.full_name in files)


def _text(draft: Draft) -> str:
    """`suspend` depends on the notes, and they on what is refused."""
    manual = draft.values.get("schedule") == "manual"
    if draft.needs and not manual:
        draft.values["suspend"] = True
    elif manual and "suspend" not in draft.places:
        draft.values.pop("suspend", None)
    file = draft.batch.path.rpartition("/")[2]
    return render(draft.values, [f"From {file}, line {draft.at.line + 1}: {draft.what}."], draft.notes)


def _read(texts: Mapping[str, str], defaults: Mapping[str, bytes], config: ServiceConfig) -> DesiredState:
    """The state of a repository of these files alone."""
    files = {**defaults, **{f"{name}.yaml": text.encode() for name, text in texts.items()}}
    blobs = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    entries = tuple(Entry(path, f"{_ROOT}/{path}", blobs[path], len(files[path])) for path in sorted(files))
    contents = {blobs[path]: data for path, data in files.items()}
    snapshot = Snapshot(Commit("0" * 40), "HEAD", entries)

    def read(wanted: Sequence[str]) -> Mapping[str, bytes]:
        return {blob: contents[blob] for blob in wanted}

    anywhere = replace(config, secret_stores=(StoreConfig("directory"),))  # the values are yet to be provided
    return desire(snapshot, read, anywhere, {})[0]


def _problems(draft: Draft, state: DesiredState) -> list[SpecProblem]:
    held = state.held.get(draft.full_name)
    return [problem for problem in held.problems if problem.is_error] if held is not None else []


def _mend(draft: Draft, problems: Iterable[SpecProblem]) -> bool:
    """Leave out what is refused; False if that is the whole job, which is told then."""
    found = list(problems)
    own = f"{draft.full_name}.yaml"
    beyond = [problem for problem in found if problem.path != own or not _tokens(draft, problem)]
    if beyond or not found:
        _give_up(draft, f"{beyond[0].message} [{beyond[0].code}]" if beyond else "it was passed over", beyond[:1])
        return False
    parts: dict[tuple[str, ...], SpecProblem] = {}
    for problem in found:
        parts.setdefault(_tokens(draft, problem)[:2], problem)
    if ("image",) in parts and "image.assumed" in draft.places:
        _give_up(draft, f"{parts['image',].message} [{parts['image',].code}]", [parts["image",]])
        return False
    for tokens in sorted(parts, key=_order, reverse=True):  # from the end, so that places in lists stay what they are
        _leave_out(draft, tokens, parts[tokens])
    return True


def _tokens(draft: Draft, problem: SpecProblem) -> tuple[str, ...]:
    """The part of the draft that the problem is about; () if it has none."""
    tokens = tuple(part.replace("~1", "/").replace("~0", "~") for part in problem.pointer.split("/")[1:])
    if not tokens:
        missing = problem.code.removesuffix("-missing")
        return (missing,) if missing in ("schedule", "image") and missing != problem.code else ()
    return tokens if tokens[0] in draft.values else ()


def _order(tokens: tuple[str, ...]) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in tokens]


def _leave_out(draft: Draft, tokens: tuple[str, ...], problem: SpecProblem) -> None:
    field = tokens[0]
    value = draft.values.get(field)
    at = next((draft.places[name] for name in (".".join(tokens[:2]), field) if name in draft.places), draft.at)
    code = NoteCode.REFUSED_DETAIL if field in _DETAILS else NoteCode.REFUSED_PART
    shown = ".".join(tokens[:2]) if isinstance(value, dict) else field
    if field in _SHOWN and isinstance(value, list) and len(tokens) > 1 and tokens[1].isdecimal():
        shown += f": {flow(value[int(tokens[1])])[:300]}"
    if field == "schedule":
        code, shown = NoteCode.BY_HAND, "its schedule"
    draft.note(at, code, f"{shown} is left out: {problem.message} [{problem.code}]", problem.hint)
    if field == "schedule":
        draft.keep("schedule", "manual", at)
    elif field == "image":
        draft.assume_image("its image cannot be used here", at)
        draft.places["image.assumed"] = at
    elif isinstance(value, dict) and len(tokens) > 1 and tokens[1] in value and len(value) > 1:
        del value[tokens[1]]
    elif isinstance(value, list) and len(tokens) > 1 and tokens[1].isdecimal() and len(value) > 1:
        if int(tokens[1]) < len(value):
            del value[int(tokens[1])]
    else:
        draft.values.pop(field, None)


def _give_up(draft: Draft, why: str, problems: Sequence[SpecProblem] = ()) -> None:
    hint = problems[0].hint if problems else ""
    draft.note(draft.at, NoteCode.REFUSED_JOB, f"{draft.full_name} is left out: {why}", hint)

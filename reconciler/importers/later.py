"""Parts of a job that the schema may not know yet: the one place that says what they are written as.

As soon as `schemas/job.schema.json` has the field, it is written; until then the file says in a comment what it was,
and the job is suspended. What the schema takes in another form is dropped and told by `settle`, like any field.
"""

from collections.abc import Sequence
from typing import Any

from ..spec.admission import may_run_in, owner_of
from .draft import Draft, Mark, known
from .model import NoteCode
from .names import job_name
from .render import flow

_LONGEST = 4000  # characters of what a comment says; the imported file has it whole


def _later(draft: Draft, field: str, value: Any, at: Mark, message: str, code: NoteCode = NoteCode.NOT_YET) -> bool:
    """True if the field is there."""
    if known(field):
        if isinstance(value, list):
            for item in value:
                draft.add(field, item, at)
        else:
            draft.keep(field, value, at)
        return True
    draft.note(at, code, message, f"{field}: {flow(value)}"[:_LONGEST])
    return False


def secret(draft: Draft, at: Mark, name: str, what: str, *, env: str = "", target: str = "") -> None:
    """A secret that must exist on the host, as a variable or as a file. `what` says where it came from. With the field
    it is still noted: its value has to be provided."""
    item: dict[str, Any] = {"name": job_name(name)}
    item |= {"env": env} if env else {}
    item |= {"target": target} if target else {}
    if _later(draft, "secrets", [item], at, what, NoteCode.SECRET):
        draft.note(at, NoteCode.SECRET, what, f'Provide the secret "{item["name"]}" on the host.')


def repositories(draft: Draft, at: Mark, items: Sequence[dict[str, Any]], what: str) -> None:
    """`items`: url, ref, target."""
    _later(draft, "repositories", list(items), at, what)


def packages(draft: Draft, at: Mark, value: dict[str, Any], what: str) -> None:
    """`value`: pip, conda, apt, cran; each a list."""
    _later(draft, "packages", value, at, what)


def start_script(draft: Draft, at: Mark, text: str, what: str) -> None:
    if _later(draft, "start_script", text, at, what):
        draft.note(at, NoteCode.MEANING, f"{what}; here it is run by `sh -eu`: a line that fails ends the run")


def exec_in(draft: Draft, at: Mark, container: str, what: str) -> bool:
    """True if the command can be run in the container that it ran in, since policy lists it."""
    config = draft.batch.options.config
    owner = owner_of(config, draft.full_name)
    if owner is not None and may_run_in(config, owner, container):
        draft.keep("exec_in", container, at)
        return True
    draft.note(at, NoteCode.ELSEWHERE, f"{what}; policy does not list it", f"exec_in: {flow(container)}"[:_LONGEST])
    return False

"""In: an action about to be done, or what an earlier process left open. Out: intent rows, and what became of them."""

import json
from dataclasses import dataclass, replace
from datetime import datetime

from ..engine.base import Engine
from ..history.base import History
from ..model.live import LiveState, StandingJob
from ..model.plan import Action, ActionKind


@dataclass(frozen=True, slots=True)
class Recovered:
    """Job names of open intents: `finished` are now in step with the engine, `left` are for the next plan to settle.

    None of the two needs a person: the next plan compares what is with what should be, whatever was begun.
    """

    finished: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def begin(history: History, action: Action, revision: str, now: datetime) -> int:
    """Write down an action before it is done (rule P6). Returns the intent to end when it is confirmed."""
    detail = {"digest": action.digest, "moved_from": action.moved_from, "revision": revision}
    return history.begin_intent(action.kind.value, action.name, now, json.dumps(detail, sort_keys=True))


def recover_intents(history: History, engine: Engine) -> Recovered:
    """At start: settle what was begun and never confirmed, by looking at the engine.

    A retirement whose object is gone leaves the ledger now. An installation that the ledger has is finished, and if the
    engine made the object anew before that was written (healing, another image), the ledger learns which it is; one
    that it has not is the next plan's: it is either still wanted and repeated, or an orphan and retired.
    Raises EngineUnavailable (the intents stay open) and StateError.
    """
    intents = history.open_intents()
    if not intents:
        return Recovered()
    live, rows = engine.observe(), history.standing()
    finished, left = [], []
    for number, kind, name, detail in intents:
        if _settled(history, kind, name, _digest(detail), live, rows.get(name)):
            finished.append(name)
        elif not live.complete:
            left.append(name)
            continue  # nothing may be concluded: asked again at the next start
        else:
            left.append(name)
        history.end_intent(number)
    return Recovered(tuple(finished), tuple(left))


def _settled(
    history: History, kind: str, name: str, digest: str, live: LiveState, row: StandingJob | None
) -> bool:  # fmt: skip
    if kind != ActionKind.RETIRE:
        if row is None or row.digest != digest or row.retiring:
            return False
        shown = live.jobs.get(name)
        if shown is not None and shown.digest == digest and shown.ref != row.ref:
            known = row.image_digest if shown.image_id == row.image_id else ""
            history.put_standing(replace(row, ref=shown.ref, image_id=shown.image_id, image_digest=known))
        return True
    if name in live.jobs or not live.complete:
        return False
    if row is not None and row.retiring:
        history.drop_standing(name)
    return row is None or row.retiring


def _digest(detail: str) -> str:
    """The digest that was to be installed; "" if an older release wrote something else."""
    try:
        data = json.loads(detail)
    except ValueError:
        return ""
    return str(data.get("digest", "")) if isinstance(data, dict) else ""

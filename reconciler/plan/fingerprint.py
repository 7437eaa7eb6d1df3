"""In: what a plan proposes. Out: the digest that names exactly that."""

import hashlib
import json
from collections.abc import Iterable

from ..model.plan import Action

DIGEST_LENGTH = 16  # hex digits: 64 bits, so that no second plan can be ground to match an approved one


def fingerprint(revision: str, proposed: Iterable[Action]) -> str:
    """16 hex digits of SHA-256 over the revision and every proposed step, in any order.

    Retirements that wait for approval are part of it and the approval is not: it is an answer to this very question.
    What is only said (notes, why, holds) is not part of it either, so a changed wording or a second broken file
    does not invalidate what somebody has read. The commit is: an approval never carries over to another one.
    """
    steps = sorted(
        [a.kind.value, a.name, a.digest, a.old_digest, a.moved_from, a.image_id, a.keep_cursor, a.stop_runs,
         bool(a.forbids)]
        for a in proposed
    )  # fmt: skip
    data = json.dumps([revision, steps], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(data.encode()).hexdigest()[:DIGEST_LENGTH]

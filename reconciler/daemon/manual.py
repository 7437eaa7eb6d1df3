"""A run that a person asks for: checked against the applied definition, then claimed like any other (rule R8)."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from ..model.errors import Permanent, Transient
from ..model.job import Concurrency
from ..model.live import StandingJob
from ..model.run import RunRecord
from ..runs.parameters import resolve, shown

if TYPE_CHECKING:
    from .run_loop import RunLoop

KEY_LENGTH = 200  # characters


def check_key(key: str) -> None:
    """Raises Permanent if it is no idempotency key."""
    if len(key) > KEY_LENGTH or not key.isprintable():
        raise Permanent(
            f"cannot take {shown(key)} as a key: at most {KEY_LENGTH} printable characters", code="key-invalid",
            hint="any text that only this request has, such as the id of the order that it is for",
        )  # fmt: skip


def same_request(before: RunRecord, given: Mapping[str, str], key: str) -> RunRecord:
    """The run that this key started, unless other parameters are asked for now. Raises Permanent."""
    had = dict(before.parameters)

    def differs(name: str, text: str) -> bool:
        return had.get(name) != (text.lower() if had.get(name) in ("true", "false") else text)

    other = next((name for name, text in given.items() if differs(name, text)), None)
    if other is not None:
        raise Permanent(
            f"cannot run {before.job}: key {shown(key)} was given to {before.run_id}, with another {other}",
            code="key-taken", hint="a key stands for one request; choose a new one for a new run",
        )  # fmt: skip
    return before


def start(
    loop: "RunLoop", job: str, actor: str, given: Mapping[str, str], key: str, now: datetime
) -> RunRecord:  # fmt: skip
    """Claim it, in the loop's thread. Raises Permanent or Transient, each with a code and a hint."""
    standing = applied(loop, job)
    values = resolve(job, standing.spec.parameters, given)
    active = loop.active(job)
    if active and standing.spec.concurrency_policy is Concurrency.FORBID:
        raise Permanent(
            f"cannot run {job}: {active[0].run_id} is {active[0].phase.value} (concurrency_policy: Forbid)",
            code="job-active", hint=f"wait for it, or end it: reconciler stop {active[0].run_id}",
        )  # fmt: skip
    record = loop.start_manual(standing, actor, now, values, key)
    if record is None:
        raise Transient(f"cannot run {job}: it is just being changed, try again", code="service-busy")
    return record


def applied(loop: "RunLoop", job: str) -> StandingJob:
    """The job as it is applied, if it may run. Raises Permanent."""
    standing = loop.jobs.get(job)
    if standing is None:
        raise Permanent(f"cannot run {job!r}: no such job is applied", code="job-unknown",
                        hint="'reconciler jobs --all' lists them")  # fmt: skip
    if loop.drained:
        raise Permanent(f"cannot run {job}: {loop.drained}", code="draining", hint="reconciler drain --end")
    if standing.forbidden:
        raise Permanent(f"cannot run {job}: {standing.forbidden}", code="job-forbidden",
                        hint="policy and owners are in the service file: docs/reference/service.md")  # fmt: skip
    return standing

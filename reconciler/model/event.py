"""One stream of facts: it feeds history, the server and the log."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class EventName(StrEnum):
    """noun.verb-in-the-past, and a sentence on it: `docs/reference/events.md` is made from here."""

    docs: str

    def __new__(cls, value: str, docs: str = "") -> "EventName":
        member = str.__new__(cls, value)
        member._value_, member.docs = value, docs
        return member

    SERVICE_STARTED = (
        "service.started",
        "The state is open and the loops start. Fields: version, engine, pid, instance, source, ref.",
    )
    SERVICE_STOPPED = "service.stopped", "The service ends in order. Runs go on."
    SERVICE_RELOADED = "service.reloaded", "SIGHUP: the service file was read anew and is in force."
    SERVICE_DRAINED = "service.drained", "`reconciler drain`: nothing is started any more; what runs goes on."
    SERVICE_UNDRAINED = (
        "service.undrained",
        "The drain that began at `since` is over, by a person or by the reboot. What was due meanwhile is decided now.",
    )
    SYNC_FINISHED = (
        "sync.finished",
        "A pass changed something, or tried to: applied, failed, unchanged, took (seconds).",
    )
    SYNC_FAILED = (
        "sync.failed",
        "The repository cannot be read, or its newest commit is not signed as it must be. Nothing is retired, jobs "
        "keep firing; said once, until it recovers.",
    )
    SYNC_RECOVERED = "sync.recovered", "The repository can be read again, and its newest commit is let in."
    PLAN_REFUSED = (
        "plan.refused",
        "A plan may not be applied; `hint` holds the command that approves exactly this one.",
    )
    PLAN_APPROVED = "plan.approved", "A person approved one plan by its digest."
    REVISION_ACCEPTED = "revision.accepted", "A person accepted a rewritten history by its commit id."
    JOB_INSTALLED = "job.installed", "A new job is live."
    JOB_REPLACED = "job.replaced", "A live job has a new definition; runs under way keep the old one."
    JOB_HEALED = (
        "job.healed",
        "What stood for a job was gone or altered, and was made again. Its definition is the same.",
    )
    JOB_MOVED = "job.moved", "A job has a new name (`moved_from`); history, cursor and runs went along."
    JOB_RETIRED = "job.retired", "A job is gone from the repository and from the engine. Its history stays."
    JOB_HELD = "job.held", "A job stays as it is: its file is broken, or its change is held. Said once per reason."
    JOB_FORBIDDEN = "job.forbidden", "Today's policy no longer allows a live job: it stops firing."
    JOB_PERMITTED = "job.permitted", "A forbidden job is allowed again. Nothing from before is owed."
    JOB_FAILED = (
        "job.apply-failed",
        "One action of a plan failed; the others went ahead. It is tried again with back-off.",
    )
    PACKAGES_INSTALLING = (
        "packages.installing",
        "Packages of a job to be applied are installed, where they are not there yet; no other job waits for it.",
    )
    JOB_STALLED = (
        "job.stalled",
        "A job was applied again and again without coming to rest; it is left alone for a while.",
    )
    JOB_PAUSED = "job.paused", "A person paused a job (`*`: all of them), or `pause_after_failures` did."
    JOB_RESUMED = "job.resumed", "A person ended a pause."
    JOB_REWOUND = (
        "job.rewound",
        "A person had a job fire again that was silent because the clock had been set back; `until` is how long.",
    )
    RUN_DELAYED = (
        "run.delayed",
        "A run could not be prepared or started; it is tried again until its deadline. Said once per reason.",
    )
    RUN_SECRETS = (
        "run.secrets-given",
        "A run was made ready with these secrets, each with its version (a keyed MAC, no part of the value).",
    )
    SECRET_ROTATED = "secret.rotated", "A run was given another value of a secret than the run before that had it."
    RUN_STARTED = "run.started", "The command runs. `late`: seconds from the slot."
    RUN_ADOPTED = (
        "run.adopted",
        "A run that this process did not start, or not knowingly, was found and is looked after.",
    )
    RUN_STOPPED = (
        "run.stop-requested",
        "TERM was asked for: by a person, the timeout, Replace, `on_retire: stop`, or for what it takes of the disk.",
    )
    OUTPUTS_DELAYED = (
        "outputs.delayed",
        "A run's outputs could not be kept yet, by a full disk for one; its container stays until they are.",
    )
    OUTPUTS_TRIMMED = (
        "outputs.trimmed",
        "A run left more than `limits.outputs_bytes` or `outputs_entries`: from `left_out` on nothing was kept.",
    )
    CODE_TRIMMED = (
        "code.trimmed",
        "Symbolic links of a run's code led out of its checkout and were left out: `count`, and the first `links`.",
    )
    CODE_OUTGROWN = (
        "code.outgrown",
        "A run is stopped for what it wrote into its checkouts, `bytes` in all. `code` and `error` say why.",
    )
    CODE_LEFT = (
        "code.left-behind",
        "A run's checkout at `path` holds what this service may not remove: another user's. It is tried again hourly.",
    )
    RUN_FINISHED = (
        "run.finished",
        "An attempt ended: verdict, exit_code, reason, took, trigger, attempt; disposition, if its slot did not run.",
    )
    TRIAL_FORGOTTEN = (
        "trial.forgotten",
        "A run of `reconciler try` is over, and nothing but this is kept of it: who tried what, and its verdict.",
    )
    IMAGE_BUILT = (
        "image.built",
        "`reconciler build` has made an image: who (`actor`), its name, id and, if it was pushed, digest.",
    )
    IMAGE_FAILED = "image.build-failed", "An image that a person asked for could not be built or pushed."
    DEV_OPENED = (
        "dev.opened",
        "A person is at a shell of `reconciler dev`: actor, terminal, names of its secrets, and `until` when at most.",
    )
    DEV_CLOSED = (
        "dev.closed",
        "A shell of `reconciler dev` is over, and nothing but this is kept of it: who had it with which secrets, "
        "`since` and `until` when, and its verdict.",
    )
    RUN_RETRIED = "run.retried", "A further attempt will be made, at the instant `at`."
    SLOT_MISSED = (
        "slot.missed",
        "Slots for which nothing ran, and why. Fields: slot (the last of them), count, disposition, reason.",
    )
    SLOT_SKIPPED = (
        "slot.skipped",
        "Slots that were left out because a run was still active (`concurrency_policy: Forbid`).",
    )
    ENGINE_LOST = "engine.lost", "The engine does not answer. Said once, until it does."
    ENGINE_RECOVERED = "engine.recovered", "The engine answers again."
    CLOCK_STEPPED = "clock.stepped", "The wall clock jumped against the boot clock, by `seconds`."
    STORAGE_DEGRADED = "storage.degraded", "The ledger cannot be written: no new run is started until it can."
    STORAGE_RECOVERED = "storage.recovered", "The ledger can be written again."


@dataclass(frozen=True, slots=True)
class Event:
    name: EventName
    at: datetime
    job: str = ""
    run: str = ""
    fields: dict[str, str | int | float | bool | None] = field(default_factory=dict)

"""The error taxonomy. The type is the retry policy; `code` is stable and documented in docs/operate.md."""

from dataclasses import dataclass


class ReconcilerError(Exception):
    """Base of every expected error. `str()` reads "cannot <verb> <thing>: <reason>"."""

    code = "error"
    hint = ""

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if hint is not None:
            self.hint = hint


class Transient(ReconcilerError):
    """May succeed by itself later. `retry_after` is in seconds, None = the caller's own back-off."""

    def __init__(
        self, message: str, *, code: str | None = None, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after = retry_after


class Permanent(ReconcilerError):
    """The same call will fail again: a person, a new revision or another setting must change something."""


class EngineUnavailable(Transient):
    """The engine does not answer, or answered in a way that leaves the result unknown (look again by name)."""

    code = "engine-unavailable"


class EngineRejected(Permanent):
    """The engine refused this very request: a missing image, a bad mount, an unknown network."""

    code = "engine-rejected"


class NotOurs(Permanent):
    """An object of our name exists that is not provably ours (rule P2). It was not touched."""

    code = "name-taken"


class SourceUnavailable(Transient):
    """git could not be read: nothing is retired, jobs keep firing (rule D2, unreadable)."""

    code = "source-unavailable"


class SourceRejected(Permanent):
    """The source's address, reference or content is refused (rule S5)."""

    code = "source-rejected"


class SubmoduleRejected(SourceRejected):
    """What a repository says of a submodule of its is refused: its URL, its name, its place, their number."""

    code = "code-submodule"


class CodeUnavailable(Transient):
    """A repository of a run's code could not be reached: the run is tried again until its deadline."""

    code = "code-unavailable"


class CodeRejected(Permanent):
    """A run's code cannot be had as it is asked for: no such ref, a changed host key, no access, too big."""

    code = "code-rejected"


class StateError(Permanent):
    """The state directory or its database cannot be used (lost, corrupt, of another version, full)."""

    code = "state-error"


class AlreadyRunning(Permanent):
    """Another instance holds this state directory."""

    code = "already-running"


class UsageError(Permanent):
    """A command line or service file that cannot be carried out as given."""

    code = "usage"


class NotAllowed(Permanent):
    """Whoever asks may give orders, but not this one (rule S6)."""

    code = "not-allowed"


class InvariantBroken(Exception):
    """A fault of ours. Never caught: the process ends and systemd restarts it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A plan that may not be applied as a whole. A value, never raised."""

    code: str
    message: str
    hint: str = ""

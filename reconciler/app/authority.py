"""Who asks on the socket, and what that person may ask for (rules S1, S6). In: a peer; out: a name, or NotAllowed.

Administrators may everything. A member of an owner may act on that owner's jobs and read them; others may nothing. A
job is its path's owner's, by today's service file, whether or not there is a job of that name.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..model.errors import NotAllowed
from ..model.service import ServiceConfig
from ..runs.trial import tried
from ..server.peer import Peer
from ..spec.admission import owner_of
from ..spec.people import members_of, owners_with, person_of

SHOWN = 5  # members in one hint


@dataclass(frozen=True, slots=True)
class Caller:
    """`name`: what history records. `owners`: whose jobs; None = all, an administrator."""

    name: str
    owners: frozenset[str] | None
    config: ServiceConfig

    def has(self, job: str) -> bool:
        """Is it a job that this person may act on and read?"""
        return self.owners is None or owner_of(self.config, tried(job)) in self.owners

    def belongs(self, owner: str) -> bool:
        return self.owners is None or owner in self.owners


class Authority:
    """By the service file in force at the moment of asking."""

    def __init__(self, config: Callable[[], ServiceConfig]) -> None:
        self._config = config

    def caller(self, peer: Peer) -> Caller:
        config = self._config()
        person = person_of(config, peer.actor)
        name = person.name if person is not None else peer.actor
        owners = None if peer.admin else owners_with(config, name) if person is not None else frozenset()
        return Caller(name, owners, config)

    def knows(self, peer: Peer) -> bool:
        """May somebody who is no administrator ask at all?"""
        return bool(self.caller(peer).owners)

    def for_job(self, peer: Peer, job: str, deed: str) -> str:
        """The name of whoever asks; `deed` is a verb. Raises NotAllowed if the job is none of theirs."""
        caller = self.caller(peer)
        if caller.has(job):
            return caller.name
        owner = owner_of(caller.config, tried(job))
        if owner is None:
            raise NotAllowed(f"cannot {deed} {job}: it belongs to none of your owners", hint="ask an administrator")
        members = members_of(caller.config, owner)
        said = ", ".join(members[:SHOWN]) + (", ..." if len(members) > SHOWN else "")
        hint = f"ask one of its members: {said}" if said else f"{owner} has no members: ask an administrator"
        raise NotAllowed(f"cannot {deed} {job}: it belongs to {owner}", hint=hint)

    def pausers(self, peer: Peer, job: str) -> tuple[str, ...] | None:
        """Whose pauses of the job this person may end; None = anybody's. What an administrator stops stays stopped."""
        caller = self.caller(peer)
        owner = owner_of(caller.config, job)
        return None if caller.owners is None else members_of(caller.config, owner) if owner is not None else ()

    def for_all(self, peer: Peer, deed: str) -> str:
        """The name of whoever asks. Raises NotAllowed if they are no administrator."""
        caller = self.caller(peer)
        if caller.owners is None:
            return caller.name
        raise NotAllowed(
            f"cannot {deed}: only administrators may", hint="root, or a member of the group that the socket belongs to"
        )

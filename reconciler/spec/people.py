"""In: `people` and `owners` of the service file. Out: who belongs to whom, and what is wrong with what they say."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..model.ids import dotted
from ..model.service import Owner, Person, ServiceConfig


class Fault(NamedTuple):
    """`tokens` name the value within the service file."""

    tokens: tuple[str, ...]
    code: str
    message: str
    hint: str = ""


def people_from(said: Mapping[str, Any]) -> tuple[Person, ...]:
    """`people` of a service file that fits its schema."""
    return tuple(Person(name, **fields) for name, fields in said.get("people", {}).items())


def faults(people: Iterable[Person], owners: Iterable[Owner]) -> Iterator[Fault]:
    """Members that nobody knows or that stand twice, accounts of two people, owners that would share their volumes."""
    names, accounts = set[str](), dict[str, str]()
    for person in people:
        names.add(person.name)
        other = accounts.setdefault(person.unix, person.name) if person.unix else person.name
        if other != person.name:
            message = f"the user {person.unix} is {other} already"
            yield Fault(("people", person.name, "unix"), "account-twice", message, "One account is one person.")
    taken: dict[str, str] = {}
    for owner in owners:
        other = taken.setdefault(dotted(owner.name), owner.name)
        if other != owner.name:
            message = f"{other} and {owner.name} would share one network and their volumes: both are named with a dot"
            yield Fault(("owners", owner.name), "owner-clash", message, "Give one of them another name.")
        yield from _members(owner, names)


def _members(owner: Owner, names: set[str]) -> Iterator[Fault]:
    for index, member in enumerate(owner.members):
        tokens = ("owners", owner.name, "members", str(index))
        if member not in names:
            from difflib import get_close_matches

            near = get_close_matches(member, sorted(names), 1)
            hint = f'did you mean "{near[0]}"?' if near else f"Say who that is: people: {{{member}: {{unix: ...}}}}"
            yield Fault(tokens, "person-unknown", f'"{member}" is none of `people`', hint)
        elif member in owner.members[:index]:
            yield Fault(tokens, "person-twice", f"{member} is in the list twice", "Keep one of them.")


def person_of(config: ServiceConfig, account: str) -> Person | None:
    """Whose account on this host it is."""
    return next((person for person in config.people if account and person.unix == account), None)


def owners_with(config: ServiceConfig, person: str) -> frozenset[str]:
    """The owners that this person is a member of."""
    return frozenset(owner.name for owner in config.owners if person in owner.members)


def members_of(config: ServiceConfig, owner: str) -> tuple[str, ...]:
    """In the order of the service file."""
    return next((found.members for found in config.owners if found.name == owner), ())

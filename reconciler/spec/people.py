"""In: `people` and `owners` of the service file. Out: who belongs to whom, and what is wrong with what they say."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from ..model.ids import dotted
from ..model.service import Owner, Person, ServiceConfig
from .sshkeys import BadKey, PublicKey, parse_key


class Fault(NamedTuple):
    """`tokens` name the value within the service file."""

    tokens: tuple[str, ...]
    code: str
    message: str
    hint: str = ""


def people_from(said: Mapping[str, Any]) -> tuple[Person, ...]:
    """`people` of a service file that fits its schema; keys that are none are left to `key_faults`."""
    return tuple(
        Person(name, fields.get("unix", ""), fields.get("email", ""), tuple(_keys(fields)))
        for name, fields in said.get("people", {}).items()
    )


def _keys(fields: Mapping[str, Any]) -> Iterator[str]:
    for _, text in _texts(fields.get("signing_key", ())):
        with suppress(BadKey):
            yield parse_key(text).line


def _texts(said: str | list[str] | tuple[()]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each key as it is written, and what leads to it."""
    if isinstance(said, str):
        yield (), said
        return
    for index, text in enumerate(said):
        yield (str(index),), text


def key_faults(said: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with the `signing_key` of each of `people`. No text shows a key."""
    whose: dict[bytes, str] = {}
    for name, fields in said.get("people", {}).items():
        for place, text in _texts(fields.get("signing_key", ())):
            tokens = ("people", name, "signing_key", *place)
            try:
                key = parse_key(text)
            except BadKey as error:
                yield Fault(tokens, error.code, f"the signing key of {name} {error}", error.hint)
                continue
            if key.blob in whose:
                other = "stands there twice" if whose[key.blob] == name else f"is {whose[key.blob]}'s already"
                message, hint = f"the signing key {key.fingerprint} of {name} {other}", "One key is one person's."
                yield Fault(tokens, "signing-key-twice", message, hint)
            whose.setdefault(key.blob, name)


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


def signers(people: Iterable[Person]) -> dict[bytes, str]:
    """Whose key it is, by the key's blob."""
    return {key.blob: person.name for person in people for key in public_keys(person)}


def public_keys(person: Person) -> tuple[PublicKey, ...]:
    return tuple(parse_key(line) for line in person.signing_key)


def person_of(config: ServiceConfig, account: str) -> Person | None:
    """Whose account on this host it is."""
    return next((person for person in config.people if account and person.unix == account), None)


def owners_with(config: ServiceConfig, person: str) -> frozenset[str]:
    """The owners that this person is a member of."""
    return frozenset(owner.name for owner in config.owners if person in owner.members)


def members_of(config: ServiceConfig, owner: str) -> tuple[str, ...]:
    """In the order of the service file."""
    return next((found.members for found in config.owners if found.name == owner), ())

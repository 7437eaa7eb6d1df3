"""A secret's value, and where values may come from. A value never shows by accident (rule S3)."""

import re
from dataclasses import dataclass
from typing import NoReturn

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z", re.ASCII)  # also a file's name: no slash, no leading dot
MAX_BYTES = 1 << 20  # of one value


class Secret:
    """A value that has neither text, copy nor pickle. `reveal` is the one way to it, and can be searched for."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a secret is neither copied nor pickled")


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """One entry of `secret_stores`. `type`: directory, credentials, age or environment; the next three are for some.

    `names`: what a look into it has found; None = nobody has looked, so it may have any. `fault`: why it is of no
    use.
    """

    type: str
    path: str = ""  # directory: absolute; age: in the repository
    identity_file: str = ""  # age
    prefix: str = ""  # environment
    names: frozenset[str] | None = None
    short: frozenset[str] = frozenset()  # those whose value is too short to be masked
    fault: str = ""

    @property
    def words(self) -> str:
        """How a message calls it."""
        rest = self.path or (f"{self.prefix}*" if self.prefix else "")
        return f"{self.type} {rest}".rstrip()


def variable_of(name: str) -> str:
    """`orders-dsn` as a variable's name: ORDERS_DSN."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())

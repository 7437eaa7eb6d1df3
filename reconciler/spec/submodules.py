"""In: what `git config` lists of a `.gitmodules`, and the URL of its repository. Out: which repository belongs at which
path, by a whole URL; or why it is refused (rule S5).

Whoever writes a repository writes this file: a name, a path or a URL in it is no better than the rest of it.
"""

from typing import NamedTuple

from ..model.errors import SourceRejected, SubmoduleRejected
from .giturl import Address, Kind, parse_url

MOST_DEEP = 5  # submodules within submodules
MOST = 50  # of one checkout
LARGEST_FILE = 256 << 10  # bytes of a `.gitmodules`
LONGEST_NAME = 255


class Submodule(NamedTuple):
    """A section of `.gitmodules`; `url` as it is written there."""

    name: str
    path: str
    url: str


def sections(listing: bytes) -> dict[str, Submodule]:
    """From `git config --list -z`: by path. What names no path is nobody's; of two at one path the later counts, as in
    git."""
    values: dict[str, dict[str, str]] = {}
    for record in listing.decode("utf-8", "surrogateescape").split("\0"):
        key, _, value = record.partition("\n")
        section, _, rest = key.partition(".")
        name, _, variable = rest.rpartition(".")
        if section == "submodule" and name:
            values.setdefault(name, {})[variable] = value
    found = (Submodule(name, said.get("path", "").rstrip("/"), said.get("url", "")) for name, said in values.items())
    return {item.path: item for item in found if item.path}


def check(path: str, known: Submodule | None) -> Submodule:
    """The section of the commit that git has at `path`. Raises SubmoduleRejected."""
    if known is None or not known.url:
        raise SubmoduleRejected(f"{_shown(path)} has no `url` in .gitmodules", hint="add it, or git rm --cached PATH")
    if not path.isprintable() or any(part.lower() in ("", ".", "..", ".git") for part in path.split("/")):
        raise SubmoduleRejected(f"{_shown(path)} is no path for one", hint="give it a plain path within the repository")
    name = known.name
    if len(name) > LONGEST_NAME or not name.isprintable() or name.startswith("-") or ".." in name.split("/"):
        raise SubmoduleRejected(f"{_shown(name)} is no name for one", hint="give it a plain name in .gitmodules")
    return known


def whole_url(url: str, base: Address) -> str:
    """`url` as it stands in the `.gitmodules` of the repository at `base`; `./x` and `../x` are relative to that.

    Raises SubmoduleRejected for a path of this host, a protocol that may start a program, and what climbs beyond the
    host's root."""
    try:
        if url.startswith(("./", "../")):
            return parse_url(_joined(base, url)).text
        address = parse_url(url)
    except SourceRejected as error:
        raise SubmoduleRejected(f"its URL is refused: {error}", hint=error.hint) from error
    if not address.remote:
        raise SubmoduleRejected(
            f"its URL {_shown(url)} is a path of this host", hint="https://, ssh://, user@host:path or ../name"
        )
    return address.text


def _joined(base: Address, relative: str) -> str:
    """Host, user and port stay those of `base`."""
    parts = [part for part in base.path.split("/") if part]
    for part in relative.split("/"):
        if part == "..":
            if not parts:
                raise SubmoduleRejected(f"its URL {_shown(relative)} leads out of {base}", hint="use fewer `..`")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if not parts:
        raise SubmoduleRejected(f"its URL {_shown(relative)} names no repository", hint="name one: ../lib.git")
    root = "/" if base.path.startswith("/") or base.kind is Kind.LOCAL else ""
    return base.text.removesuffix(base.path) + root + "/".join(parts)


def _shown(text: str) -> str:
    """Short, and nothing that a terminal would obey, or that may be a password."""
    clean = text if "@" not in text else "..." + text.rpartition("@")[2]
    return f'"{clean[:100]}"' if clean.isprintable() else ascii(clean[:100])

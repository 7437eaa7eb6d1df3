"""Image references: what is wrong with one, its full form, and whether a policy's globs allow it."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from .globs import matches_any

_PART = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*\Z", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?\Z", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_HUB = "docker.io"


class Reference(NamedTuple):
    """`host/path:tag@digest`; host and tag are filled in as the Docker Engine does."""

    host: str
    path: str
    tag: str
    digest: str

    @property
    def full(self) -> str:
        tail = (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")
        return f"{self.host}/{self.path}{tail}"


@lru_cache(maxsize=8192)
def parse_image(text: str) -> Reference:
    """Raises ValueError with the reason, as the end of a sentence."""
    name, at, digest = text.partition("@")
    if at and _DIGEST.match(digest) is None:
        raise ValueError("has a digest that is not sha256: and 64 hex digits")
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and _TAG.match(tag) is None:
        raise ValueError("has a tag that is not letters, digits and _ . -")
    parts = (head + slash + last).split("/")
    host = parts.pop(0) if len(parts) > 1 and (set(".:") & set(parts[0]) or parts[0] == "localhost") else ""
    if host and _HOST.match(host) is None:
        raise ValueError("has a registry that is no host name")
    if any(_PART.match(part) is None for part in parts):
        upper = any(part != part.lower() for part in parts)
        raise ValueError("has capital letters in its name" if upper else "has an empty or odd part in its name")
    if not host and len(parts) == 1 and (_HEX.match(parts[0]) or parts[0] == "sha256"):
        raise ValueError("is an id of this machine, not a name")
    if host in ("", "index.docker.io", _HUB):
        host, parts = _HUB, ["library", *parts] if len(parts) == 1 else parts
    return Reference(host, "/".join(parts), tag or ("" if digest else "latest"), digest)


def image_allowed(patterns: Iterable[str], text: str) -> bool:
    """Does a glob match the reference as written, in full, or in Docker Hub's short form?

    A written form cannot pose as another registry: a glob's first part must match the image's first part.
    """
    try:
        reference = parse_image(text)
    except ValueError:
        return False
    full = reference.full
    forms = {text, full}
    if reference.host == _HUB:
        forms |= {full.removeprefix("docker.io/"), full.removeprefix("docker.io/library/")}
    return any(matches_any(patterns, form) for form in forms)

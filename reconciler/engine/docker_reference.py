"""In: an image reference as written. Out: its parts, and the one spelling under which an Engine may look it up."""

import re
from dataclasses import dataclass

HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_ID = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry` is a host[:port]; `repository` holds it too if it was written. One of tag, digest and id is set."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""
    image_id: str = ""

    @property
    def lookup(self) -> str:
        """Never without a tag or digest: a bare `c0ffee` would also match an image by the beginning of its id."""
        if self.image_id:
            return self.image_id
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def parse(text: str) -> Reference:
    """`postgres` -> docker.io, `postgres`, `latest`. A full image id stands for itself and is never pulled."""
    if _ID.fullmatch(text):
        return Reference("", "", image_id=text)
    name, _, digest = text.partition("@")
    head, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    repository = f"{head}/{last}" if head else last
    first, slash, _ = repository.partition("/")
    hosted = bool(slash) and ("." in first or ":" in first or first == "localhost")
    registry = first if hosted and first not in HUB else HUB[0]
    return Reference(registry, repository, "" if digest else tag or "latest", digest)


def registry_digest(repository: str, digests: object) -> str:
    """The digest that a registry knows an image of `repository` by, among an image's RepoDigests; "" = none."""
    if not isinstance(digests, list):
        return ""
    pairs = [str(entry).partition("@") for entry in digests]
    exact = [digest for name, _, digest in pairs if name == repository]
    return exact[0] if exact else ""

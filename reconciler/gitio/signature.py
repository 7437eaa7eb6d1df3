"""A raw commit -> what was signed, and by which key. Nothing here says that the signature is good: `sshkeygen` does.

The commit is taken apart by us and not by git, so that no setting and no program of a repository has a say in it.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import NamedTuple

NAMESPACE = "git"  # what a signature of a commit is made for; one made for a file or a login does not count
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG"
_VERSION = 1
_SHA1_DIGITS = 40


class Signed(NamedTuple):
    """`key` is the blob of the public key that the signature names; `armored` the signature as ssh-keygen reads it."""

    payload: bytes
    armored: bytes
    key: bytes
    namespace: str


class Unreadable(ValueError):
    """A commit bears something that is no SSH signature of it. `foreign`: one of another kind, of PGP for one."""

    def __init__(self, message: str, *, foreign: bool = False) -> None:
        super().__init__(message)
        self.foreign = foreign


def signed(commit: str, raw: bytes) -> Signed | None:
    """The signature of a commit object, None = it bears none. Raises Unreadable."""
    payload, found = _apart(raw, b"gpgsig" if len(commit) == _SHA1_DIGITS else b"gpgsig-sha256")
    if not found:
        return None
    if len(found) > 1:
        raise Unreadable("bears more than one signature")
    text = found[0].strip()
    if not text.startswith(_BEGIN):
        kind = "PGP" if text.startswith(b"-----BEGIN PGP") else "something other than SSH"
        raise Unreadable(f"is signed with {kind}, and only SSH signatures are read", foreign=True)
    blob = _blob(text)
    key, namespace = _fields(blob)
    return Signed(payload, _armored(blob), key, namespace)


def _apart(raw: bytes, header: bytes) -> tuple[bytes, list[bytes]]:
    """The commit without that header, which is what gets signed; and the header's values."""
    head, gap, message = raw.partition(b"\n\n")
    kept: list[bytes] = []
    found: list[list[bytes]] = []
    within = False
    for line in head.split(b"\n"):
        if line.startswith(header + b" "):
            found.append([line[len(header) + 1 :]])
            within = True
        elif within and line.startswith(b" "):
            found[-1].append(line[1:])
        else:
            kept.append(line)
            within = False
    return b"\n".join(kept) + gap + message, [b"\n".join(lines) for lines in found]


def _blob(text: bytes) -> bytes:
    if not text.endswith(_END):
        raise Unreadable("bears a signature that is cut short")
    try:
        return base64.b64decode(b"".join(text[len(_BEGIN) : -len(_END)].split()), validate=True)
    except binascii.Error as error:
        raise Unreadable("bears a damaged signature") from error


def _fields(blob: bytes) -> tuple[bytes, str]:
    """Key and namespace of an SSHSIG blob: magic, version, key, namespace, reserved, hash algorithm, signature."""
    start = len(_MAGIC) + 4
    parts = list(_strings(blob[start:]))
    if blob[:start] != _MAGIC + _VERSION.to_bytes(4, "big") or len(parts) != 5:
        raise Unreadable("bears a damaged signature")
    return parts[0], parts[1].decode("utf-8", "replace")


def _strings(blob: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4], "big")
        if at + 4 > len(blob) or end > len(blob):
            raise Unreadable("bears a damaged signature")
        yield blob[at + 4 : end]
        at = end


def _armored(blob: bytes) -> bytes:
    """Written anew: what ssh-keygen reads is what was read here."""
    return _BEGIN + b"\n" + base64.encodebytes(blob) + _END + b"\n"

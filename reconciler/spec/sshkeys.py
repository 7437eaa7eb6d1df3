"""In: the text of an SSH public key, as `signing_key` holds it. Out: the key; or what is wrong, in words without it."""

import base64
import binascii
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

LEAST_RSA, MOST_RSA = 2048, 16384  # bits
_ED25519_BYTES = 32
_POINTS = {b"nistp256": 65, b"nistp384": 97, b"nistp521": 133}  # bytes of an uncompressed point
# What is taken, and what follows the type in each one's blob.
TYPES = {
    "ssh-ed25519": ("ed25519",),
    "ssh-rsa": ("exponent", "modulus"),
    "ecdsa-sha2-nistp256": ("curve", "point"),
    "ecdsa-sha2-nistp384": ("curve", "point"),
    "ecdsa-sha2-nistp521": ("curve", "point"),
    "sk-ssh-ed25519@openssh.com": ("ed25519", "application"),
    "sk-ecdsa-sha2-nistp256@openssh.com": ("curve", "point", "application"),
}
_CERTIFICATE = "-cert-v01@openssh.com"
_PRIVATE = ("PRIVATE KEY", "PuTTY-User-Key-File")
_OPENSSH_PRIVATE = b"openssh-key-v1\0"


class BadKey(ValueError):
    """What is wrong with a key. Neither text shows any of it: it may be a private one."""

    def __init__(self, message: str, hint: str = "", code: str = "signing-key-invalid") -> None:
        super().__init__(message)
        self.hint, self.code = hint, code


class PublicKey(NamedTuple):
    """A key that has been checked. `blob` is what signatures carry."""

    type: str
    blob: bytes

    @property
    def line(self) -> str:
        """One line without a comment, for files of OpenSSH."""
        return f"{self.type} {base64.b64encode(self.blob).decode('ascii')}"

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.blob)


def fingerprint(blob: bytes) -> str:
    """`SHA256:...`, as `ssh-keygen -l` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


def parse_key(text: str) -> PublicKey:
    """The key of one line `TYPE BASE64 [comment]`. Raises BadKey."""
    text = text.strip()
    if any(mark in text for mark in _PRIVATE):
        raise _private()
    if len(text.splitlines()) > 1:
        raise BadKey("holds more than one line", "One key is one line; write several keys as a list.")
    words = text.split()
    kind = words[0] if words else ""
    if kind not in TYPES:
        raise _unknown(words)
    blob = _decoded(words[1] if len(words) > 1 else "")
    fields = list(_strings(blob))
    if not fields or fields[0] != kind.encode():
        raise BadKey(f"says {kind} and holds a key of another type", "Copy the whole line of the .pub file.")
    _check(kind, fields[1:])
    return PublicKey(kind, blob)


def _unknown(words: list[str]) -> BadKey:
    first = words[0] if words else ""
    if first.endswith(_CERTIFICATE):
        return BadKey("is a certificate", "Put the public key itself here.")
    if first == "ssh-dss":
        return BadKey("is a DSA key, which is too weak", "Make a new one: ssh-keygen -t ed25519")
    if any(word in TYPES for word in words[1:]):
        return BadKey("begins with something that is no key type", "Without options: TYPE BASE64, as in the .pub file.")
    if first.startswith("b3BlbnNzaC1rZXktdjE"):  # how the base64 of _OPENSSH_PRIVATE begins
        return _private()
    return BadKey("is no SSH public key", f"One line, as in the .pub file. Types: {', '.join(TYPES)}")


def _private() -> BadKey:
    hint = "Whoever has read it can sign as its owner: throw that key away, make a new one and put its .pub line here."
    return BadKey("is a private key", hint, "signing-key-private")


def _decoded(word: str) -> bytes:
    try:
        blob = base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    if blob.startswith(_OPENSSH_PRIVATE):
        raise _private()
    if not blob or base64.b64encode(blob).decode("ascii") != word:
        raise BadKey("is cut short, or its second word is no base64", "Copy the whole line of the .pub file.")
    return blob


def _strings(blob: bytes) -> Iterator[bytes]:
    """The length-prefixed parts. Raises BadKey if they do not fill the blob exactly."""
    at = 0
    while at < len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4], "big")
        if at + 4 > len(blob) or end > len(blob):
            raise BadKey("is cut short", "Copy the whole line of the .pub file.")
        yield blob[at + 4 : end]
        at = end


def _check(kind: str, fields: list[bytes]) -> None:
    if len(fields) != len(TYPES[kind]):
        raise BadKey(f"does not hold what a key of type {kind} does", "Copy the whole line of the .pub file.")
    for name, value in zip(TYPES[kind], fields, strict=True):
        if name == "modulus":
            bits = int.from_bytes(value, "big").bit_length()
            if not LEAST_RSA <= bits <= MOST_RSA:
                hint = "Make a new one: ssh-keygen -t ed25519"
                raise BadKey(f"is an RSA key of {bits} bits, and {LEAST_RSA} to {MOST_RSA} are taken", hint)
        elif not _fits(name, value, fields, kind):
            raise BadKey(f"holds a damaged key of type {kind}", "Copy the whole line of the .pub file.")


def _fits(name: str, value: bytes, fields: list[bytes], kind: str) -> bool:
    if name == "ed25519":
        return len(value) == _ED25519_BYTES
    if name == "curve":
        return value in _POINTS and kind.removesuffix("@openssh.com").endswith(value.decode("ascii"))
    if name == "point":
        return len(value) == _POINTS.get(fields[0], 0) and value[:1] == b"\x04"
    return 0 < len(value) <= 1024  # an exponent, or the application of a hardware key

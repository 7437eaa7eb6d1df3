"""In: an encrypted file of the commit, and the identities of the service file. Out: the value (age, by pyrage)."""

import base64
from collections.abc import Sequence
from typing import Any

from ..model.errors import Permanent
from ..model.job import SecretRef
from ..model.secret import MAX_BYTES, Secret
from .stores import read_identity

ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"


def unseal(ref: SecretRef, identity_files: Sequence[str]) -> Secret:
    """The value. Raises Permanent: no identity fits, or the file is none of age's."""
    import pyrage  # only where a job has such a secret: it takes 10 ms and 8 MiB

    identities: list[Any] = []
    for path in dict.fromkeys(identity_files):
        identities += _identities(path)
    data = base64.b64decode(ref.sealed)
    if data.lstrip().startswith(ARMOR):
        data = _dearmored(data, ref)
    try:
        value = pyrage.decrypt(data, identities)
    except pyrage.DecryptError as error:
        raise Permanent(
            f"cannot decrypt the secret {ref.name}: {str(error)[:200]}", code="secret-sealed",
            hint="encrypt its file for the public key of the service file's `identity_file`",
        ) from error  # fmt: skip
    if len(value) > MAX_BYTES:
        raise Permanent(f"cannot use the secret {ref.name}: it is larger than 1 MiB", code="secret-too-large",
                        hint="Put what is large into a volume, and its key into a secret.")  # fmt: skip
    return Secret(value)


def _identities(path: str) -> list[Any]:
    import pyrage

    text = read_identity(path)
    try:
        if text.lstrip().startswith(b"-----BEGIN"):
            return [pyrage.ssh.Identity.from_buffer(text)]
        lines = [line.strip() for line in text.decode("ascii").splitlines()]
        return [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (pyrage.IdentityError, UnicodeDecodeError):
        raise Permanent(f"cannot use {path}: it holds no age identity", code="identity-invalid",
                        hint="make one: age-keygen -o FILE") from None  # fmt: skip


def _dearmored(data: bytes, ref: SecretRef) -> bytes:
    lines = data.strip().splitlines()
    try:
        return base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except ValueError:
        message = f"cannot decrypt the secret {ref.name}: its file is damaged"
        raise Permanent(message, code="secret-sealed", hint="encrypt it again") from None

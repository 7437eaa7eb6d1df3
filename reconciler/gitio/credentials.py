"""An address and the service file's git section -> the `Access` that a child gets: protocol, ssh command, token.

A credential is given out only if scheme, host, port and (where the pattern names one) user agree part by part. One glob
over the whole text would let `https://*.example.org/*` match `https://elsewhere.net/x.example.org/y`.
"""

import base64
import os
import re
import shlex
import stat
from collections.abc import Iterable
from pathlib import Path

from ..model.errors import SourceRejected
from ..model.service import Credential, GitConfig
from ..spec.giturl import Address, Kind, matches
from .profile import Access

MAX_TOKEN = 8192  # bytes
DEFAULT_USER = "git"  # forges look at the token alone
_UNSAFE_PATH = re.compile(r"[\x00-\x1f\x7f\"'$\\]")
SSH = (
    "ssh", "-F", "/dev/null", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oProxyCommand=none",
    "-oPermitLocalCommand=no", "-oForwardAgent=no", "-oClearAllForwardings=yes", "-oUpdateHostKeys=no",
    "-oControlMaster=no", "-oControlPath=none", "-oPasswordAuthentication=no", "-oConnectTimeout=10",
    "-oServerAliveInterval=10", "-oServerAliveCountMax=3", "-oIdentitiesOnly=yes", "-oIdentityAgent=none",
)  # fmt: skip


def access_for(address: Address, git: GitConfig) -> Access:
    """What reaching `address` takes. Reads the token file anew each time, so that a rotated token counts at once.

    Raises SourceRejected (`token-file`, `key-file`, `known-hosts`).
    """
    if address.kind is Kind.SSH:
        return Access(protocols=("ssh",), ssh_command=_ssh_command(address, git))
    protocol = address.kind.value
    credential = _matching(address, git.tokens)
    if credential is None:
        return Access(protocols=(protocol,))
    token = _read_token(credential.token_file)
    user = credential.username or address.user or DEFAULT_USER
    basic = base64.b64encode(f"{user}:{token}".encode()).decode()
    key = f"http.{_origin(address)}/.extraHeader"  # git sends it to this origin only
    return Access(
        protocols=(protocol,),
        secret_config=((key, f"Authorization: Basic {basic}"),),
        secrets=(token, basic),
    )


def _matching(address: Address, credentials: Iterable[Credential]) -> Credential | None:
    return next((credential for credential in credentials if matches(credential.url, address)), None)


def _origin(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{address.kind.value}://{host}" + (f":{address.port}" if address.port else "")


def _ssh_command(address: Address, git: GitConfig) -> str:
    """GIT_SSH_COMMAND; git hands it to a shell, so every word is quoted, and ssh expands `%`, so that is doubled."""
    words = list(SSH)
    if git.known_hosts:
        path = _ssh_path(git.known_hosts, "known-hosts", "git.known_hosts")
        words += [f'-oUserKnownHostsFile="{path}"', "-oGlobalKnownHostsFile=/dev/null"]
    credential = _matching(address, git.deploy_keys)
    if credential is None:  # without one named, ssh offers those in the home directory of the service's user
        words.append("-oIdentityFile=none")
    else:
        words.append(f'-oIdentityFile="{_ssh_path(credential.key_file, "key-file", "git.deploy_keys")}"')
    return shlex.join(words)


def _ssh_path(path: str, code: str, setting: str) -> str:
    if not path.startswith("/") or _UNSAFE_PATH.search(path):
        raise SourceRejected(
            f"cannot use {path!r} of `{setting}`: it must be an absolute path without quotes, dollar or backslash",
            code=code, hint="move or rename the file",
        )  # fmt: skip
    if not Path(path).is_file() or not os.access(path, os.R_OK):
        raise SourceRejected(
            f"cannot read {path}: no such file, or not readable",
            code=code,
            hint=f"check `{setting}` of the service file",
        )
    return path.replace("%", "%%")


def _read_token(path: str) -> str:
    hint = "the file must hold one line, the token, and be readable by the service"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceRejected(f"cannot read {path}: {error.strerror}", code="token-file", hint=hint) from error
    try:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
        data = os.read(fd, MAX_TOKEN + 1) if regular else b""
    finally:
        os.close(fd)
    try:
        token = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        token = ""
    if not token or len(data) > MAX_TOKEN or not token.isprintable():
        raise SourceRejected(f"cannot use the token in {path}: not one line of text", code="token-file", hint=hint)
    return token

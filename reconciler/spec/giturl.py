"""A source's address as typed -> a checked `Address`; a reference as typed -> a checked `Ref`. Raises SourceRejected.

git itself is generous here: it runs `ext::sh -c ...`, reads `-oProxyCommand=...` as an option of ssh, and takes
`+refs/heads/*:refs/heads/*` as a reference. So both are parsed and rebuilt by us before git sees them (rule S5).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from ipaddress import ip_address

from ..model.errors import SourceRejected

DIRECTORY_PREFIX = "dir:"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(::|://)")
_SCP = re.compile(r"(?:(?P<user>[^@/:]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:@\[\]]+):(?P<path>.+)\Z", re.DOTALL)
_AUTHORITY = re.compile(r"(?:(?P<user>[^@]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@]*)(?::(?P<port>[^:@]*))?\Z")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\Z")
_PATTERN = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?:(?P<user>[^@/:]*)@)?(?P<host>\[[^\]]*\]|[^/:@]+)(?::(?P<port>\d+)(?=/|\Z))?"
    r"(?P<separator>[:/]?)(?P<path>.*)\Z"
)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_ABBREVIATED = re.compile(r"[0-9A-Fa-f]{4,64}\Z")  # git abbreviates to four digits at least
_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|\Z)|(?:\A|/)\.|\.(?:/|\Z)")
MAX_LENGTH = 2048


class Kind(StrEnum):
    LOCAL = "local"  # a repository on this machine, read in place
    DIRECTORY = "directory"  # plain files, no git
    SSH = "ssh"
    HTTPS = "https"
    HTTP = "http"  # loopback hosts only: the forge beside us, and tests


@dataclass(frozen=True, slots=True)
class Address:
    """`text` is what git gets (for LOCAL and DIRECTORY: the path). It never holds a password."""

    kind: Kind
    text: str
    path: str
    host: str = ""
    port: int | None = None
    user: str = ""

    @property
    def remote(self) -> bool:
        return self.kind in (Kind.SSH, Kind.HTTPS, Kind.HTTP)

    def __str__(self) -> str:
        return self.text


_PORTS = {Kind.SSH: 22, Kind.HTTPS: 443, Kind.HTTP: 80}


class RefKind(StrEnum):
    HEAD = "HEAD"
    COMMIT = "commit"
    FULL = "full"  # refs/...
    NAME = "name"  # a branch or a tag


@dataclass(frozen=True, slots=True)
class Ref:
    """`candidates` are the full names it may stand for; a commit has none."""

    kind: RefKind
    text: str

    @property
    def candidates(self) -> tuple[str, ...]:
        match self.kind:
            case RefKind.NAME:
                return (f"refs/heads/{self.text}", f"refs/tags/{self.text}")
            case RefKind.COMMIT:
                return ()
            case _:
                return (self.text,)


def parse_url(text: str) -> Address:
    """The address behind `text`: a path, `file://`, `https://`, `ssh://`, `user@host:path` or `dir:PATH`."""
    _check_text(text)
    if text.startswith(DIRECTORY_PREFIX):
        return _local(Kind.DIRECTORY, text[len(DIRECTORY_PREFIX) :], text)
    scheme = _SCHEME.match(text)
    if scheme is not None:
        return _with_scheme(text, scheme[1], scheme[2], text[scheme.end() :])
    scp = None if text.startswith(("/", ".")) else _SCP.match(text)
    if scp is None:
        return _local(Kind.LOCAL, text, text)
    host, user, path = _host(scp["host"], text), _user(scp["user"], text), _remote_path(scp["path"], text)
    return Address(Kind.SSH, f"{user}@{host}:{path}" if user else f"{host}:{path}", path, _bare(host), None, user)


def parse_ref(text: str) -> Ref:
    """The reference behind `text`. Raises SourceRejected `ref-invalid`."""
    if text == "HEAD":
        return Ref(RefKind.HEAD, text)
    if _COMMIT.match(text):
        return Ref(RefKind.COMMIT, text)
    if (
        not text or len(text) > 255 or text.startswith(("-", "/")) or text.endswith("/") or text == "@"
        or _REF_FORBIDDEN.search(text) or _CONTROL.search(text)
    ):  # fmt: skip
        raise SourceRejected(
            f"cannot use {_shown(text)} as a reference: not a legal name of a branch, tag or commit",
            code="ref-invalid", hint="give a branch (main), a tag (v1.2), a full name (refs/...) or a full commit id",
        )  # fmt: skip
    return Ref(RefKind.FULL if text.startswith("refs/") else RefKind.NAME, text)


def matches(pattern: str, address: Address) -> bool:
    """True if `pattern`, written like a URL with `*` and `?`, covers `address`.

    Without a scheme it is the scp form if a colon follows the host; such a pattern covers ssh:// as well.
    """
    match = _PATTERN.match(pattern)
    if match is None or not match["path"]:
        return False
    scheme = match["scheme"] or (Kind.SSH.value if match["separator"] == ":" else "")
    port = int(match["port"]) if match["port"] else _PORTS.get(address.kind)
    return (
        scheme == address.kind.value
        and match["separator"] == (":" if not match["scheme"] else "/")
        and fnmatchcase(address.host, match["host"].strip("[]").lower())
        and port == (address.port or _PORTS.get(address.kind))
        and (match["user"] is None or fnmatchcase(address.user, match["user"]))
        and fnmatchcase(address.path.lstrip("/"), match["path"].lstrip("/"))
    )


def is_commit_id(text: str) -> bool:
    """True for a full, lower-case commit id of either hash."""
    return _COMMIT.match(text) is not None


def may_be_abbreviated(text: str) -> bool:
    """True for what could be a commit id that was cut short, or typed in capitals."""
    return not is_commit_id(text) and _ABBREVIATED.match(text) is not None


def is_loopback(host: str) -> bool:
    """True for `localhost` and the addresses that never leave this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _with_scheme(text: str, scheme: str, separator: str, rest: str) -> Address:
    name = scheme.lower()
    if separator == "::" or name not in ("file", "https", "http", "ssh"):
        raise _rejected(text, f'protocol "{scheme}" is not allowed', "protocol-not-allowed",
                        "use https://, ssh://, user@host:path, file:// or a path")  # fmt: skip
    if name == "file":
        host, _, path = rest.partition("/")
        if host not in ("", "localhost"):
            raise _rejected(text, "file:// names a path on this machine", "url-invalid", "write file:///path")
        return _local(Kind.LOCAL, "/" + _unquoted(path), text)
    authority, slash, path = rest.partition("/")
    match = _AUTHORITY.match(authority)
    if match is None or not slash or not path or "?" in path or "#" in path:
        hint = f"{name}://host/path/repository.git"
        raise _rejected(text, "it needs a host and a path, without query or fragment", "url-invalid", hint)
    host, user, port = _host(match["host"], text), _user(match["user"], text), _port(match["port"], text)
    if name == "http" and not is_loopback(_bare(host)):
        raise _rejected(text, "plain http is for this machine's own addresses only", "protocol-not-allowed",
                        "use https:// or ssh://")  # fmt: skip
    _remote_path(_unquoted(path), text)
    where = (f"{user}@" if user else "") + host + (f":{port}" if port else "")
    return Address(Kind(name), f"{name}://{where}/{path}", "/" + path, _bare(host), port, user)


def _unquoted(text: str) -> str:
    """`%20` as what it stands for. Bytes that are no UTF-8 become control characters, which nobody accepts."""
    return _ESCAPED.sub(lambda found: _decoded(found[0]), text)


def _decoded(escapes: str) -> str:
    try:
        return bytes.fromhex(escapes.replace("%", "")).decode("utf-8")
    except UnicodeDecodeError:
        return "\x00"


def _local(kind: Kind, path: str, text: str) -> Address:
    if not path or _CONTROL.search(path):
        raise _rejected(text, "the path is empty or holds control characters", "url-invalid", "give a path")
    return Address(kind, path, path)


def _host(host: str | None, text: str) -> str:
    bare = _bare(host or "")
    if host and ((host.startswith("[") and _is_address(bare)) or _HOST.match(host)):
        return host.lower()
    raise _rejected(text, "not a legal host name", "url-invalid", "letters, digits, dots and hyphens; [..] for IPv6")


def _user(user: str | None, text: str) -> str:
    if not user:
        return ""
    if ":" in user:
        raise _rejected(text, "it holds a password", "url-password", "put the token into a file: `git.tokens`")
    if not _USER.match(user):
        raise _rejected(text, "not a legal user name", "url-invalid", "git@host, for instance")
    return user


def _port(port: str | None, text: str) -> int | None:
    if port is None:
        return None
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise _rejected(text, "not a port number", "url-invalid", "1 to 65535")
    return int(port)


def _remote_path(path: str, text: str) -> str:
    if path.lstrip("/").startswith("-") or _CONTROL.search(path):
        raise _rejected(text, "the path begins with a hyphen or holds control characters", "url-invalid", "")
    return path


def _check_text(text: str) -> None:
    if not text or len(text) > MAX_LENGTH or _CONTROL.search(text):
        raise _rejected(text, "it is empty, too long or holds control characters", "url-invalid", "give a path or URL")
    if text.startswith("-"):
        raise _rejected(text, "it begins with a hyphen", "url-invalid", "write ./-name for such a path")


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _bare(host: str) -> str:
    return host.strip("[]").lower()


def _rejected(text: str, why: str, code: str, hint: str) -> SourceRejected:
    return SourceRejected(f"cannot use {_shown(text)} as a source: {why}", code=code, hint=hint)


def _shown(text: str) -> str:
    """As typed, but short, without control characters and without anything that may be a password."""
    clean = re.sub(r"//[^/@]*@", "//...@", text[:200])
    return ascii(clean) if _CONTROL.search(clean) or not clean.isprintable() else f'"{clean}"'

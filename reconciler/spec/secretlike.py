"""In: a variable's name and value. Out: why it looks like a secret, if it does (rule S3). A guess: for warnings, and
for tools that write job files, which then write a reference and no value."""

import re
from collections import Counter
from math import log2

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_TELLING = frozenset(
    {"password", "passwd", "passphrase", "pass", "pwd", "secret", "secrets", "token", "apikey", "credential",
     "credentials", "pat", "psk", "dsn"}
)  # fmt: skip
_ENDS = ("password", "passwd", "secret")  # PGPASSWORD
_KEYS = frozenset({"api", "access", "private", "secret", "signing", "encryption", "auth", "master", "ssh", "account"})
# What says where something is, or how much of it: not the thing itself.
_ABOUT = frozenset(
    {"file", "path", "dir", "name", "id", "url", "uri", "host", "type", "ttl", "timeout", "length", "limit", "count",
     "enabled", "required", "header", "field", "max", "min", "size", "expiry", "user", "username", "policy",
     "algorithm"}
)  # fmt: skip
_DIGESTS = frozenset({"sha", "sha1", "sha256", "digest", "commit", "revision", "checksum", "hash", "etag", "version"})
_PLAIN = frozenset({"", "true", "false", "yes", "no", "on", "off", "none", "null"})
_NUMBER = re.compile(r"[-+]?[0-9]{1,9}(?:\.[0-9]+)?\Z", re.ASCII)
_PATH = re.compile(r"(?:\.{0,2}/)[\w./@+~-]*\Z")
_REFERENCE = re.compile(r"\$\{?\w+\}?\Z|\{\{[^{}]*\}\}\Z|<[^<>]*>\Z")
_SHAPES = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"), "a private key"),
    (re.compile(r"AGE-SECRET-KEY-1"), "a private key of age"),
    (re.compile(r"(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,}|github_pat_\w{20,}"), "a token of GitHub"),
    (re.compile(r"gl(?:pat|dt|rt|cbt)-[\w-]{16,}"), "a token of GitLab"),
    (re.compile(r"xox[abeoprs]-[A-Za-z0-9-]{10,}"), "a token of Slack"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "an access key of AWS"),
    (re.compile(r"\bAIza[\w-]{35}"), "a key of Google"),
    (re.compile(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"), "a key of Stripe"),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"), "an API key"),
    (re.compile(r"\bhf_[A-Za-z0-9]{20,}"), "a token of Hugging Face"),
    (re.compile(r"\b(?:npm_[A-Za-z0-9]{30,}|pypi-[\w-]{40,})"), "a token of a package registry"),
    (re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"), "a signed token (JWT)"),
    (re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,64}:[^\s/@$<{]{3,128}@"), "an address with a password"),
)  # fmt: skip
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_DENSE = re.compile(r"[A-Za-z0-9+/_=-]{24,256}\Z", re.ASCII)
_BITS = 4.0  # per character; of words it is less, of random base64 about 4.5 at this length
_LOOKED_AT = 8192  # characters of a value


def looks_secret(name: str, value: str) -> str:
    """A few words on why, "" = it does not. Never a part of the value. Bounded in time for any input."""
    value = value.strip()[:_LOOKED_AT]
    if value.lower() in _PLAIN or _REFERENCE.match(value):
        return ""
    for shape, words in _SHAPES:
        if shape.search(value):
            return f"its value looks like {words}"
    if _NUMBER.match(value) or _PATH.match(value) or _UUID.match(value):
        return ""
    parts = [word.lower() for word in _WORD.findall(name[:256])]
    if _names_a_secret(parts):
        return "its name says so"
    if not _DIGESTS & set(parts) and _DENSE.match(value) and _random(value):
        return "its value looks random"
    return ""


def _names_a_secret(parts: list[str]) -> bool:
    if not parts or parts[-1] in _ABOUT:
        return False
    if _TELLING & set(parts) or any(part.endswith(_ENDS) for part in parts):
        return True
    return any(word == "key" and _KEYS & set(parts[:at]) for at, word in enumerate(parts))


def _random(value: str) -> bool:
    """Letters and digits without a pattern."""
    kinds = sum(any(test(c) for c in value) for test in (str.isdigit, str.islower, str.isupper))
    counts = Counter(value)
    bits = -sum(n / len(value) * log2(n / len(value)) for n in counts.values())
    return kinds == 3 and bits >= _BITS

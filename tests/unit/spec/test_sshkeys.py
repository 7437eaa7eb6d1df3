"""Promise: a signing key is what it says and one person's; what is none is told in words that never show it."""

import base64

import pytest

from reconciler.model.service import ServiceConfig
from reconciler.spec.service import parse_service
from reconciler.spec.sshkeys import BadKey, parse_key

POINT = b"\x04" + b"p" * 64
SECRET = base64.b64encode(b"openssh-key-v1\0" + b"never shown anywhere " * 8).decode()


def line(kind: str, *fields: bytes, inner: str = "") -> str:
    parts = ((inner or kind).encode(), *fields)
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"{kind} {base64.b64encode(blob).decode()}"


def rsa(bits: int) -> str:
    return line("ssh-rsa", b"\1\0\1", b"\0" + ((1 << bits) - 1).to_bytes((bits + 7) // 8, "big"))


ED25519 = line("ssh-ed25519", b"k" * 32)
OTHER = line("ssh-ed25519", b"o" * 32)
GOOD = {
    "ed25519": ED25519,
    "rsa 2048": rsa(2048),
    "ecdsa": line("ecdsa-sha2-nistp256", b"nistp256", POINT),
    "a hardware key": line("sk-ssh-ed25519@openssh.com", b"k" * 32, b"ssh:"),
    "a hardware key of ecdsa": line("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", POINT, b"ssh:"),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_key_is_taken_and_its_comment_is_not(text: str) -> None:
    key = parse_key(f"  {text} anna@laptop, of June\n")
    assert key.line == text == parse_key(key.line).line
    assert key.fingerprint.startswith("SHA256:") and len(key.fingerprint) == 50


BAD = {
    "nothing of the kind": ("x", "is no SSH public key"),
    "a DSA key": (line("ssh-dss", b"p", b"q", b"g", b"y"), "too weak"),
    "a short RSA key": (rsa(2047), "2047 bits"),
    "another type within": (line("ssh-ed25519", b"k" * 32, inner="ssh-rsa"), "of another type"),
    "options before it": (f'command="x" {ED25519}', "no key type"),
    "a certificate": (line("ssh-ed25519-cert-v01@openssh.com", b"n"), "certificate"),
    "two lines": (f"{ED25519}\n{OTHER}", "more than one line"),
    "no base64": ("ssh-ed25519 AAAA*", "no base64"),
    "a base64 that is not the plain one": (ED25519.rstrip("=") + "\u00e9", "no base64"),
    "the type alone": ("ssh-ed25519", "cut short"),
    "a cut key": (ED25519[:-16], "cut short"),
    "a short point": (line("ecdsa-sha2-nistp256", b"nistp256", POINT[:-1]), "damaged"),
    "a curve of another type": (line("ecdsa-sha2-nistp256", b"nistp384", b"\x04" + b"p" * 96), "damaged"),
    "a field too much": (line("ssh-ed25519", b"k" * 32, b""), "does not hold"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_what_is_no_key_is_refused_without_showing_it(text: str, said: str) -> None:
    with pytest.raises(BadKey) as caught:
        parse_key(text)
    assert said in str(caught.value) and caught.value.code == "signing-key-invalid"
    assert not any(word in f"{caught.value} {caught.value.hint}" for word in text.split() if len(word) > 30)


PRIVATE = {
    "as a block": "signing_key: |\n      -----BEGIN OPENSSH PRIVATE KEY-----\n      {}\n      -----END",
    "folded into a line": "signing_key: '-----BEGIN RSA PRIVATE KEY----- {} -----END RSA PRIVATE KEY-----'",
    "its inner lines alone": "signing_key: {}",
    "behind the type of a public one": "signing_key: ssh-ed25519 {}",
    "in a list": "signing_key: [ssh-ed25519 {}]",
    "of PuTTY": "signing_key: 'PuTTY-User-Key-File-3: ssh-ed25519 {}'",
    "at the wrong indentation": "signing_key: -----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
}  # fmt: skip


@pytest.mark.parametrize("said", PRIVATE.values(), ids=PRIVATE)
def test_S3_a_private_key_is_named_as_such_and_never_shown(said: str) -> None:
    text = "people:\n  anna:\n    " + said.replace("{}", SECRET) + "\n"
    config, problems = parse_service(text.encode(), "service.yaml")
    assert config == ServiceConfig() and problems
    assert not any(SECRET[at : at + 12] in f"{p} {p.hint}" for p in problems for at in range(0, len(SECRET) - 12, 4))
    if "\n{}" not in said:
        assert [p.code for p in problems] == ["signing-key-private"]
        assert "throw that key away" in problems[0].hint


def test_a_person_may_have_several_keys() -> None:
    text = f"people: {{anna: {{signing_key: [{ED25519} old, {OTHER} new]}}, cleo: {{signing_key: {rsa(3072)}}}}}"
    config, problems = parse_service(text.encode(), "x")
    assert problems == ()
    assert [person.signing_key for person in config.people] == [(ED25519, OTHER), (rsa(3072),)]


FILES = {
    "one key of two people": (
        f"people: {{a: {{signing_key: {ED25519}}}, b: {{signing_key: [{OTHER}, {ED25519} again]}}}}",
        "signing-key-twice", "/people/b/signing_key/1",
    ),
    "one key twice": (
        f"people: {{a: {{signing_key: [{ED25519}, {ED25519}]}}}}", "signing-key-twice", "/people/a/signing_key/1",
    ),
    "signatures of nobody": (
        "source: {require_signed: head}\npeople: {a: {unix: a}}", "no-signing-key", "/source/require_signed",
    ),
    "signatures and a history that may be rewritten": (
        f"source: {{require_signed: range}}\nallow_rewrite: true\npeople: {{a: {{signing_key: {ED25519}}}}}",
        "signed-rewrite", "/allow_rewrite",
    ),
    "another word": ("source: {require_signed: all}", "value-unknown", "/source/require_signed"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code", "pointer"), FILES.values(), ids=FILES)
def test_refused(text: str, code: str, pointer: str) -> None:
    config, problems = parse_service(text.encode(), "service.yaml")
    assert config == ServiceConfig()
    assert [(p.code, p.pointer) for p in problems] == [(code, pointer)]

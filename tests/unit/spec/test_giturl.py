"""Promise: only addresses and references whose every part is understood reach git (rule S5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.errors import SourceRejected
from reconciler.spec.giturl import Kind, RefKind, parse_ref, parse_url

COMMIT = "0123456789abcdef0123456789abcdef01234567"

GOOD = [
    ("a path", "/srv/jobs.git", Kind.LOCAL, "/srv/jobs.git"),
    ("the current directory", ".", Kind.LOCAL, "."),
    ("a relative path with a colon", "./a:b", Kind.LOCAL, "./a:b"),
    ("a file URL", "file:///srv/my%20jobs.git", Kind.LOCAL, "/srv/my jobs.git"),
    ("a file URL of this host", "file://localhost/srv/x", Kind.LOCAL, "/srv/x"),
    ("https", "https://git.example.org/ops/jobs.git", Kind.HTTPS, "https://git.example.org/ops/jobs.git"),
    ("https, upper case", "HTTPS://Git.Example.org/Ops", Kind.HTTPS, "https://git.example.org/Ops"),
    ("https with a user and port", "https://ci@h.example:8443/x", Kind.HTTPS, "https://ci@h.example:8443/x"),
    ("http on loopback", "http://127.0.0.1:8080/x.git", Kind.HTTP, "http://127.0.0.1:8080/x.git"),
    ("http on loopback, IPv6", "http://[::1]:8080/x.git", Kind.HTTP, "http://[::1]:8080/x.git"),
    ("ssh", "ssh://git@git.example.org:2222/ops/jobs.git", Kind.SSH, "ssh://git@git.example.org:2222/ops/jobs.git"),
    ("the scp form", "git@git.example.org:ops/jobs.git", Kind.SSH, "git@git.example.org:ops/jobs.git"),
    ("the scp form without a user", "git.example.org:jobs.git", Kind.SSH, "git.example.org:jobs.git"),
    ("a plain directory", "dir:/srv/files", Kind.DIRECTORY, "/srv/files"),
]

BAD = [
    ("a command", "ext::sh -c touch% /tmp/x", "protocol-not-allowed"),
    ("a command, upper case", "EXT::sh", "protocol-not-allowed"),
    ("a descriptor", "fd::17/x", "protocol-not-allowed"),
    ("git without authentication", "git://example.org/x", "protocol-not-allowed"),
    ("http over the network", "http://git.example.org/x", "protocol-not-allowed"),
    ("http on an address that only looks local", "http://127.0.0.1.example.org/x", "protocol-not-allowed"),
    ("ftp", "ftp://example.org/x", "protocol-not-allowed"),
    ("an option", "--upload-pack=touch /tmp/x", "url-invalid"),
    ("an option as ssh host", "ssh://-oProxyCommand=touch%20x/y", "url-invalid"),
    ("an option as scp host", "-oProxyCommand=x:y", "url-invalid"),
    ("an option as ssh user", "ssh://-oProxyCommand=x@host/y", "url-invalid"),
    ("an option as scp user", "x@-oProxyCommand=y:z", "url-invalid"),
    ("an option as path", "git@host:-x", "url-invalid"),
    ("an option as URL path", "ssh://host/-x", "url-invalid"),
    ("an encoded option as path", "ssh://host/%2dx", "url-invalid"),
    ("an encoded newline", "https://host/a%0ab", "url-invalid"),
    ("a password", "https://anna:s3cr3t@git.example.org/x", "url-password"),
    ("a newline", "https://git.example.org/x\nhost=evil", "url-invalid"),
    ("an empty text", "", "url-invalid"),
    ("a NUL in a file URL", "file:///srv/%00x", "url-invalid"),
    ("a file URL of another host", "file://server/share", "url-invalid"),
    ("no path", "https://git.example.org", "url-invalid"),
    ("a query", "https://git.example.org/x?y=z", "url-invalid"),
    ("a port out of range", "https://git.example.org:99999/x", "url-invalid"),
    ("a port in other digits", "https://git.example.org:٣/x", "url-invalid"),
    ("a host with a space", "https://git example.org/x", "url-invalid"),
    ("a host in other letters", "https://gіt.example.org/x", "url-invalid"),
    ("a text of a megabyte", "/" + "x" * (1 << 20), "url-invalid"),
]


@pytest.mark.parametrize(("url", "kind", "text"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_an_address_is_rebuilt_from_its_parts(url: str, kind: Kind, text: str) -> None:
    address = parse_url(url)
    assert (address.kind, address.text) == (kind, text)


@pytest.mark.parametrize(("url", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_S5_what_is_not_understood_is_refused_with_a_code(url: str, code: str) -> None:
    with pytest.raises(SourceRejected) as caught:
        parse_url(url)
    assert caught.value.code == code
    assert "s3cr3t" not in str(caught.value) and "\n" not in str(caught.value)


REFS = [
    ("HEAD", RefKind.HEAD, ("HEAD",)),
    ("main", RefKind.NAME, ("refs/heads/main", "refs/tags/main")),
    ("release/2026.11", RefKind.NAME, ("refs/heads/release/2026.11", "refs/tags/release/2026.11")),
    ("refs/heads/main", RefKind.FULL, ("refs/heads/main",)),
    (COMMIT, RefKind.COMMIT, ()),
    ("a" * 64, RefKind.COMMIT, ()),
    ("a" * 39, RefKind.NAME, ("refs/heads/" + "a" * 39, "refs/tags/" + "a" * 39)),
]


@pytest.mark.parametrize(("text", "kind", "candidates"), REFS, ids=[case[0][:20] for case in REFS])
def test_a_reference_stands_for_full_names(text: str, kind: RefKind, candidates: tuple[str, ...]) -> None:
    ref = parse_ref(text)
    assert (ref.kind, ref.candidates) == (kind, candidates)


@pytest.mark.parametrize("text", [
    "", "@", "-x", "--upload-pack=x", "main:refs/heads/x", "refs/heads/*", "a..b", "a@{1}", "a b", "a\nb",
    "a^", "a~1", ".a", "a/.b", "a.lock", "a.lock/b", "a//b", "/a", "a/", "a.", "x" * 256, "a\\b", "a?", "[a]", "a\x00",
])  # fmt: skip
def test_S5_a_reference_that_git_would_expand_or_take_for_an_option_is_refused(text: str) -> None:
    with pytest.raises(SourceRejected, match="cannot use") as caught:
        parse_ref(text)
    assert caught.value.code == "ref-invalid"


def test_S5_a_plus_is_only_ever_part_of_a_full_name() -> None:
    assert parse_ref("+main").candidates == ("refs/heads/+main", "refs/tags/+main")


@given(st.text(max_size=60))
def test_S5_no_text_gives_anything_but_an_address_or_a_rejection(text: str) -> None:
    try:
        address = parse_url(text)
    except SourceRejected as error:
        assert error.hint or error.code
        return
    assert not address.text.startswith("-") and "\n" not in address.text and "\x00" not in address.text
    assert not address.remote or "::" not in address.text or "[" in address.text


@given(st.text(max_size=60))
def test_S5_no_text_gives_anything_but_a_reference_or_a_rejection(text: str) -> None:
    try:
        ref = parse_ref(text)
    except SourceRejected:
        return
    assert not set(ref.text) & set(" :*?[\\^~\n\0") and not ref.text.startswith("-")

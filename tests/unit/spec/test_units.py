"""Promise: durations and sizes are Compose's, exact both ways; image references and globs are read as Docker does."""

import pytest

from reconciler.spec.durations import format_duration, format_size, parse_duration, parse_size
from reconciler.spec.globs import matches
from reconciler.spec.images import parse_image

DURATIONS = {
    "90s": 90.0,
    "1h30m": 5400.0,
    "2d": 172800.0,
    "1w": 604800.0,
    "1.5h": 5400.0,
    "500ms": 0.5,
    "10us": 1e-5,
    "0s": 0.0,
}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items(), ids=list(DURATIONS))
def test_parse_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "1 h", "h", "-1s", "1h-5m", "1H", "1y", "١h", "9" * 99 + "s", "400000000s", "1s\n"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"a duration|ten years"):
        parse_duration(text)


SAID = {
    5400.0: "1h30m",
    90.0: "1m30s",
    86400.0: "24h",
    172800.0: "2d",
    7776000.0: "90d",
    0.0: "0s",
    0.5: "500ms",
    93600.0: "26h",
}


@pytest.mark.parametrize(("seconds", "text"), SAID.items(), ids=list(SAID.values()))
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration(text) == seconds


SIZES = {
    "512m": 512 << 20,
    "64g": 64 << 30,
    "1.5g": 3 << 29,
    "1024": 1024,
    "1k": 1024,
    "1KB": 1024,
    "2t": 2 << 40,
    "7b": 7,
}


@pytest.mark.parametrize(("text", "size"), SIZES.items(), ids=list(SIZES))
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["", "m", "1 m", "-1m", "1mib", "1e3", "9" * 40, "99999999t", "1m\n"])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"a size|larger"):
        parse_size(text)


@pytest.mark.parametrize(("size", "text"), [(0, "0"), (1, "1"), (1536, "1536"), (1 << 20, "1m"), (3 << 30, "3g")])
def test_format_size(size: int, text: str) -> None:
    assert format_size(size) == text


IMAGES = {
    "busybox": "docker.io/library/busybox:latest",
    "postgres:17": "docker.io/library/postgres:17",
    "team/app": "docker.io/team/app:latest",
    "localhost/app:1": "localhost/app:1",
    "localhost:5000/a/b:1": "localhost:5000/a/b:1",
    "registry.example.org/a/b": "registry.example.org/a/b:latest",
    "a@sha256:" + "0" * 64: "docker.io/library/a@sha256:" + "0" * 64,
    "a:1@sha256:" + "0" * 64: "docker.io/library/a:1@sha256:" + "0" * 64,
    "index.docker.io/library/a:1": "docker.io/library/a:1",
}


@pytest.mark.parametrize(("text", "full"), IMAGES.items(), ids=[text[:40] for text in IMAGES])
def test_parse_image(text: str, full: str) -> None:
    assert parse_image(text).full == full


@pytest.mark.parametrize(
    "text", ["", "A", "a/", "/a", "a//b", "a:", "a:.", "a@sha256:0", "a@md5:" + "0" * 64, "-a", "a_.b", "0" * 64,
             "sha256:1", "a.b:x/c", "http://a/b", "a:" + "x" * 129]
)  # fmt: skip
def test_no_image(text: str) -> None:
    with pytest.raises(ValueError, match=r"has|is an id"):
        parse_image(text)


GLOBS = {
    "a star stays within one part": ("ml/*", "ml/a/b", False),
    "a star may be nothing": ("a*", "a", True),
    "two stars go across": ("ml/**", "ml/a/b", True),
    "two stars are everything": ("**", "a/b/c", True),
    "a question mark is one character": ("a?c", "abc", True),
    "a question mark is no slash": ("a?c", "a/c", False),
    "a dot is a dot": ("a.c", "abc", False),
    "brackets mean nothing": ("[ab]", "a", False),
    "a newline does not end a match": ("a", "a\n", False),
}


@pytest.mark.parametrize(("pattern", "text", "expected"), GLOBS.values(), ids=GLOBS)
def test_glob(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected

"""Rule S3: a value never gets through, in whichever usual form and wherever the output is cut."""

import base64
import binascii
import hashlib
import html
import json
import shlex
import subprocess
import time
import urllib.parse

import pytest
from hypothesis import given, strategies

from reconciler.runs.masking import MASK, SHORTEST, Mask, StreamMask, patterns

VALUES = {
    "a word": b"hunter2-correct",
    "one that every encoding changes": "p&ss/w\u00f6rd '\"\\+ $(x)%~".encode(),
    "a line break at its end": b"c4n4ry-s3cr3t\n",
    "bytes": bytes(range(128, 180)),
}


def forms(value: bytes) -> dict[str, bytes]:
    """As programs write it; not by the code under test."""
    text = value.decode("utf-8", "surrogateescape")
    found = {
        "as it is": value,
        "base64": base64.b64encode(value),
        "base64 for URLs": base64.urlsafe_b64encode(value),
        "base64 after one byte": base64.b64encode(b"x" + value + b"y"),
        "base64 after two bytes": base64.b64encode(b"xy" + value + b"z"),
        "base64 in an authorization": base64.b64encode(b"user:" + value),
        "hex": binascii.hexlify(value),
        "HEX": binascii.hexlify(value).upper(),
        "percent": urllib.parse.quote_from_bytes(value, safe="").encode(),
        "percent in a path": urllib.parse.quote_from_bytes(value).encode(),
        "in a form": urllib.parse.quote_plus(value).encode(),
        "JSON": json.dumps(text).encode(),
        "shell": shlex.quote(text).encode("utf-8", "surrogateescape"),
        "Python": repr(text).encode("utf-8", "surrogateescape"),
        "HTML": html.escape(text).encode("utf-8", "surrogateescape"),
        "backwards": value[::-1],
    }  # fmt: skip
    if b"\0" not in value:
        found["bash"] = subprocess.run(["bash", "-c", 'printf %q "$1"', "-", value], capture_output=True, check=True,
                                       env={"LC_ALL": "C.UTF-8"}).stdout  # fmt: skip
    return found


CASES = {
    f"{name}: {form}": (value, text) for name, value in VALUES.items() for form, text in forms(value).items()
    if name != "bytes" or form not in ("Python", "bash")
}  # fmt: skip


@pytest.mark.parametrize(("value", "text"), CASES.values(), ids=CASES)
def test_S3_every_form_is_masked(value: bytes, text: bytes) -> None:
    masked = Mask([value]).apply(b"before " + text + b" after")
    assert MASK in masked and masked.startswith(b"before ") and masked.endswith(b" after")
    left = masked.removeprefix(b"before ").removesuffix(b" after").replace(MASK, b"").strip(b"'\"$=\n")
    # Of base64 in something longer the characters at both ends hold bits of the neighbours too.
    assert len(left) <= 12, left


def test_S3_each_line_of_a_key_is_masked_by_itself_and_so_is_the_whole_wrapped() -> None:
    lines = [base64.b64encode(bytes([n]) * 48) for n in range(20)]
    key = b"\n".join((b"-----BEGIN KEY-----", *lines, b"-----END KEY-----")) + b"\n"
    mask = Mask([key])
    for line in lines:
        assert mask.apply(b"x " + line + b" y") == b"x " + MASK + b" y"
    assert mask.apply(key).replace(MASK, b"").strip() == b""
    for wrapped in (base64.encodebytes(key), b"\n".join(_every(base64.b64encode(key), 64))):
        assert mask.apply(wrapped).replace(MASK, b"").strip() == b""


def _every(text: bytes, width: int) -> list[bytes]:
    return [text[at : at + width] for at in range(0, len(text), width)]


def test_a_long_value_costs_a_bounded_search_and_is_masked_when_shown_whole() -> None:
    value = b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() for n in range(1 << 14))
    mask = Mask([value])
    assert len(value) == 1 << 20 and max(map(len, mask.patterns)) <= 4096 * 3
    assert mask.apply(value).replace(MASK, b"") == b""
    assert len(patterns([b"".join(b"line %06d\n" % n for n in range(9000))])) < 6000


def test_what_is_short_is_left() -> None:
    assert patterns([b"12345", b"", b"\n\n"]) == ()
    assert len(b"12345") < SHORTEST and Mask([b"12345"]).apply(b"12345") == b"12345"


def test_text_that_holds_no_value_is_the_very_same() -> None:
    text = "nothing of interest \udcff"
    assert Mask([b"hunter2-correct"]).text(text) is text
    assert Mask([b"hunter2-correct"]).text("say hunter2-correct!") == "say ***!"


# -- in pieces -------------------------------------------------------------------------------------------------------


def stream(values: list[bytes], data: bytes, cuts: list[int]) -> bytes:
    masked, out, at = StreamMask(Mask(values)), b"", 0
    for cut in [*sorted(min(c, len(data)) for c in cuts), len(data)]:
        out += masked.feed(data[at:cut])
        assert len(masked.tail) < max(map(len, Mask(values).patterns), default=1)
        at = cut
    return out + masked.finish()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 13, 16384])
def test_S3_a_value_is_masked_wherever_the_output_is_cut(size: int) -> None:
    value = b"c4n4ry-s3cr3t"
    data = b"".join(b"%d %s|%s\n" % (n, value, base64.b64encode(value)) for n in range(50))
    assert stream([value], data, list(range(size, len(data), size))) == Mask([value]).apply(data)


@given(
    strategies.lists(strategies.binary(min_size=6, max_size=9).map(lambda b: bytes(c % 2 + 97 for c in b)), max_size=3),
    strategies.binary(max_size=60).map(lambda b: bytes(c % 2 + 97 for c in b)),
    strategies.lists(strategies.integers(0, 60), max_size=12),
)
def test_S3_no_value_ever_gets_through(values: list[bytes], data: bytes, cuts: list[int]) -> None:
    """Of two letters, so that values lie in and across each other."""
    out = stream(values, data, cuts)
    assert not any(value in out for value in values)


def test_a_line_is_not_held_back() -> None:
    masked = StreamMask(Mask([b"c4n4ry-s3cr3t\nline two of it\n"]))
    assert masked.feed(b"doing c4n4\n") == b"doing c4n4\n" and masked.tail == b""
    assert masked.feed(b"doing c4n4") == b"doing " and masked.tail == b"c4n4"
    assert masked.feed(b"l\n") == b"c4n4l\n"


def test_masking_a_usual_log_is_no_burden() -> None:
    """One token; a mebibyte in lines, as an engine hands them over."""
    masked, line = (
        StreamMask(Mask([b"ghp_" + b"x7K" * 12])),
        b"2026-11-24T02:00:00Z INFO step 17 of 400 done in 12.4 ms\n",
    )
    begin = time.process_time()
    for _ in range((1 << 20) // len(line)):
        masked.feed(line)
    assert time.process_time() - begin < 2.0

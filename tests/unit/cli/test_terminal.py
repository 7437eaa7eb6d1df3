"""Promise: what a person types is the shell's, but for the keys that leave it."""

import pytest

from reconciler.cli.terminal import Keys


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        (b"ls ~/x\r", b"ls ~/x\r"),
        (b"~/bin/x\r", b"~/bin/x\r"),
        (b"~~.\r", b"~.\r"),
        (b"a~.\r", b"a~.\r"),
        (b"a\r~\r~x", b"a\r~\r~x"),
        (b"\x03\x1b[A\xff", b"\x03\x1b[A\xff"),
    ],
)
def test_all_is_passed_on_in_whatever_pieces_it_comes(typed: bytes, passed: bytes) -> None:
    assert Keys().passed(typed) == passed
    keys = Keys()
    assert b"".join(keys.passed(bytes([key])) for key in typed) == passed


@pytest.mark.parametrize("typed", [b"~.", b"\r~.", b"sleep 9\r~.", b"~x\r~.", b"\n~."])
def test_at_the_beginning_of_a_line_they_leave(typed: bytes) -> None:
    with pytest.raises(KeyboardInterrupt):
        Keys().passed(typed)
    keys = Keys()
    assert keys.passed(typed[:-1]) == typed[:-2]
    with pytest.raises(KeyboardInterrupt):
        keys.passed(b".")

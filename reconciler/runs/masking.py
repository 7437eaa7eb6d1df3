"""In: values that nobody may read, and output in pieces. Out: the output with the values masked (rule S3).

A value is found as it is and in the forms that programs give it: base64 (also as a part of something longer, and
wrapped), hex, percent-encoded, escaped for JSON, Python, XML and shells, backwards; of a value of several lines each
line by itself. Of what a stream has said so far, what may be the beginning of a value is held back.
"""

import base64
import json
import shlex
from collections.abc import Iterable, Iterator

MASK = b"***"
SHORTEST = 6  # bytes: what is shorter is found everywhere
WHOLE = 8192  # bytes: a longer value is masked piece by piece only
PIECE = 4096  # bytes of a longer line that are masked as one
ENCODED = 64  # pieces of one value that are looked for in every form
MOST = 4096  # pieces of one value that are looked for at all
_WRAPS = (76, 64)  # columns at which programs wrap base64
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def patterns(values: Iterable[bytes]) -> tuple[bytes, ...]:
    """Everything to look for, the longest first."""
    found: set[bytes] = set()
    for value in values:
        pieces = list(_pieces(value))
        bare = value.strip(b"\r\n")
        whole = [bare] if SHORTEST <= len(bare) <= WHOLE else []
        for piece in (*whole, *pieces[:ENCODED]):
            found.update(_forms(piece))
        found.update(pieces)
        if whole:
            text = base64.b64encode(value)
            found.update(text[at : at + wrap] for wrap in _WRAPS for at in range(0, len(text), wrap))
    return tuple(sorted((one for one in found if len(one) >= SHORTEST), key=lambda one: (-len(one), one)))


def _pieces(value: bytes) -> Iterator[bytes]:
    count = 0
    for line in value.splitlines():
        for at in range(0, len(line), PIECE):
            if count == MOST:
                return
            if len(line) - at >= SHORTEST:
                count += 1
                yield line[at : at + PIECE]


def _forms(piece: bytes) -> Iterator[bytes]:
    if len(piece) < SHORTEST:
        return
    yield piece
    yield piece[::-1]
    yield piece.hex().encode()
    yield piece.hex().upper().encode()
    for encoded in _base64(piece):
        yield encoded
        yield encoded.translate(bytes.maketrans(b"+/", b"-_"))
    for safe in (b"", b"/"):
        quoted = _percent(piece, safe)
        yield quoted
        yield quoted.replace(b"%20", b"+")
        yield _percent(piece, safe, upper=False)
    text = piece.decode("utf-8", "surrogateescape")
    written = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1], _xml(text)}
    written |= {one.replace("/", "\\/") for one in list(written)}
    written |= {shlex.quote(text).removeprefix("'").removesuffix("'"), text.replace("'", "'\\''"), _backslashed(text)}
    for one in written:
        yield one.encode("utf-8", "surrogateescape" if piece.isascii() else "surrogatepass")


def _base64(piece: bytes) -> Iterator[bytes]:
    """What is the same of it wherever it begins in something longer: the characters that hold its bits alone."""
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + piece)
        yield text[-(-shift * 8 // 6) : (shift + len(piece)) * 8 // 6]
    yield base64.b64encode(piece)


def _percent(piece: bytes, safe: bytes, *, upper: bool = True) -> bytes:
    form = b"%%%02X" if upper else b"%%%02x"
    return b"".join(bytes((b,)) if b in _UNRESERVED or b in safe else form % b for b in piece)


def _xml(text: str) -> str:
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;")):
        text = text.replace(plain, escaped)
    return text


def _backslashed(text: str) -> str:
    """As bash's `printf %q` writes it."""
    return "".join(c if c.isalnum() or c in "_-./:=@%+,^~#" or not c.isascii() else f"\\{c}" for c in text)


class Mask:
    """Masks whole texts. Costs a search for each pattern."""

    def __init__(self, values: Iterable[bytes]) -> None:
        self.patterns = patterns(values)
        self._heads = frozenset(one[:SHORTEST] for one in self.patterns)
        self._by_byte: dict[int, list[bytes]] = {}  # last byte of a text -> patterns that may have begun there
        for one in self.patterns:
            for byte in set(one[:-1]):
                self._by_byte.setdefault(byte, []).append(one)

    def apply(self, data: bytes) -> bytes:
        if len(data) < 2 * len(self.patterns) and not self._may_hold(data):
            return data
        for one in self.patterns:
            if one in data:
                data = data.replace(one, MASK)
        return data

    def _may_hold(self, data: bytes) -> bool:
        """A line is shorter than the patterns of a key are many: then this is the quicker look."""
        heads = self._heads
        return any(data[at : at + SHORTEST] in heads for at in range(len(data) - SHORTEST + 1))

    def text(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        masked = self.apply(data)
        return text if masked is data else masked.decode("utf-8", "replace")

    def cut(self, data: bytes) -> int:
        """Up to where it can be masked now: what comes next cannot make more of it a value."""
        at = self._beginning(data, 0)
        while at < len(data) and (end := self._crossing(data, at)):
            at = self._beginning(data, end)
        return at

    def _beginning(self, data: bytes, start: int) -> int:
        """Where the longest end of `data` begins that is the beginning of a value; its length if there is none."""
        first = len(data)
        if start >= first:
            return first
        for one in self._by_byte.get(data[-1], ()):
            at = data.find(one[0], max(start, len(data) - len(one) + 1), first)
            while at >= 0:
                if one.startswith(data[at:]):
                    first = at
                    break
                at = data.find(one[0], at + 1, first)
        return first

    def _crossing(self, data: bytes, at: int) -> int:
        """The end of a value that lies across `at`; 0 = there is none."""
        ends = [0]
        for one in self.patterns:
            found = data.find(one, max(0, at - len(one) + 1), at + len(one) - 1)
            if 0 <= found < at:
                ends.append(found + len(one))
        return max(ends)


class StreamMask:
    """Masks what comes in pieces. `tail` is what is held back: less than the longest pattern."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self.tail = b""

    def feed(self, data: bytes) -> bytes:
        """What can be shown by now."""
        data = self.tail + data
        at = self._mask.cut(data)
        self.tail = data[at:]
        return self._mask.apply(data[:at])

    def finish(self) -> bytes:
        """The rest, once nothing more comes."""
        rest, self.tail = self.tail, b""
        return self._mask.apply(rest)

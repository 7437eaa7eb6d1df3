"""Promise: what is typed reaches the run and what it prints reaches the client, in order, whole and within bounds,
until one of the two ends."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from reconciler.server.relay import END, FRAME, LAST_WORDS, MOST_WAITING, PIECE, STDERR, STDOUT, relay

WITHIN = 20.0  # seconds


class PairLine:
    """A `Line` over a pair of sockets: the test is the run, at `far`."""

    def __init__(self) -> None:
        self._near, self.far = socket.socketpair()
        self._near.setblocking(False)
        self.far.settimeout(WITHIN)
        self.taken = 0  # bytes of the run's output

    def fileno(self) -> int:
        return self._near.fileno()

    def receive(self) -> tuple[tuple[int, bytes], ...] | None:
        try:
            data = self._near.recv(PIECE)
        except BlockingIOError:
            return ()
        self.taken += len(data)
        return ((STDERR if data.startswith(b"!") else STDOUT, data),) if data else None

    def send(self, data: bytes) -> int:
        with suppress(BlockingIOError):
            return self._near.send(data)
        return 0

    def end_input(self) -> None:
        self._near.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._near.close()


class Rig:
    """A relay in a thread between `client` and `line`. `over`: the ledger knows that the run has ended."""

    def __init__(self, last_words: float = LAST_WORDS) -> None:
        self.client, self._inner = socket.socketpair()
        self.client.settimeout(WITHIN)
        self.line, self.stop, self.over = PairLine(), threading.Event(), threading.Event()
        self._last_words = last_words
        self.answers: list[bool] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._inner:
            self.answers.append(relay(self._inner, self.line, self.stop.is_set, self.over.is_set, self._last_words))

    def fill(self) -> int:
        """Print until nothing more is taken of it; how many bytes were."""
        self.line.far.settimeout(1.0)
        sent = 0
        with suppress(TimeoutError):
            while sent < 50 * MOST_WAITING:
                sent += self.line.far.send(b"x" * PIECE)
        assert sent < 50 * MOST_WAITING, "it is made to wait"
        return sent

    def ended(self) -> bool:
        self._thread.join(WITHIN)
        assert not self._thread.is_alive()
        return self.answers[0]

    def frame(self) -> tuple[int, bytes]:
        stream, length = FRAME.unpack(self._exactly(FRAME.size))
        return stream, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self.client.recv(count - len(data))
        return data

    def close(self) -> None:
        self.stop.set()
        self._thread.join(WITHIN)
        self.client.close()
        self.line.far.close()
        self.line.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[Rig]:
    """One that waits for next to no time for who takes nothing."""
    made = Rig(0.2)
    yield made
    made.close()


def test_bytes_go_both_ways_each_stream_told_apart_and_the_end_is_told(rig: Rig) -> None:
    rig.client.sendall(b"ls\n")
    assert rig.line.far.recv(10) == b"ls\n"
    rig.line.far.sendall(b"a file\n")
    assert rig.frame() == (STDOUT, b"a file\n")
    rig.line.far.sendall(b"! an error\n")
    assert rig.frame() == (STDERR, b"! an error\n")
    rig.line.far.close()
    assert rig.frame() == (END, b"")
    assert rig.ended() is True


def test_the_end_of_the_input_is_passed_on_and_what_is_printed_then_still_comes(rig: Rig) -> None:
    rig.client.shutdown(socket.SHUT_WR)
    assert rig.line.far.recv(10) == b""
    rig.line.far.sendall(b"bye\n")
    assert rig.frame() == (STDOUT, b"bye\n")


def test_a_client_that_goes_ends_it_without_harm_to_the_run(rig: Rig) -> None:
    rig.client.close()
    assert rig.ended() is False
    rig.line.far.sendall(b"still there")


def test_a_stopping_service_leaves_without_telling_an_end(rig: Rig) -> None:
    rig.stop.set()
    assert rig.ended() is False
    assert rig.client.recv(10) == b""


def test_of_a_run_that_nobody_listens_to_only_so_much_is_read(rig: Rig) -> None:
    sent = rig.fill()
    assert rig.line.taken < 4 * MOST_WAITING
    got = 0
    while got < sent:
        stream, data = rig.frame()
        assert stream == STDOUT and not data.strip(b"x")
        got += len(data)
    assert got == sent


def test_a_run_that_reads_nothing_makes_its_client_wait_and_still_prints(rig: Rig) -> None:
    rig.client.settimeout(1.0)
    sent = 0
    with suppress(TimeoutError):
        while sent < 50 * MOST_WAITING:
            sent += rig.client.send(b"y" * PIECE)
    assert sent < 50 * MOST_WAITING
    rig.client.settimeout(WITHIN)
    rig.line.far.sendall(b"busy\n")
    assert rig.frame() == (STDOUT, b"busy\n")


def test_whoever_takes_nothing_of_a_run_that_has_ended_keeps_no_place(hasty: Rig) -> None:
    hasty.fill()
    hasty.line.far.close()
    assert hasty.ended() is False


def test_nor_of_one_whose_streams_do_not_tell_that_it_has_ended(hasty: Rig) -> None:
    hasty.fill()
    assert hasty.answers == [], "as long as the run goes on it is waited for"
    hasty.over.set()
    assert hasty.ended() is False


def test_who_takes_the_rest_in_time_gets_all_of_it(rig: Rig) -> None:
    sent = rig.fill()
    rig.over.set()
    rig.line.far.close()
    got = 0
    while (frame := rig.frame())[0] != END:
        got += len(frame[1])
    assert got == sent and rig.ended() is True

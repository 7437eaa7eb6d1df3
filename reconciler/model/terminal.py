"""What an interactive run's shell is connected to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terminal:
    """`tty`: a terminal; else plain pipes, whose input ends. `port` of the container is reachable at the host's
    loopback; 0 = none. As text it is the run's `cause`."""

    tty: bool
    port: int = 0

    def __str__(self) -> str:
        return f"{'tty' if self.tty else 'pipe'}{f' {self.port}' if self.port else ''}"

    @classmethod
    def parse(cls, text: str) -> "Terminal":
        """The inverse; what is none of these is a pipe."""
        word, _, port = text.partition(" ")
        return cls(word == "tty", int(port) if port.isascii() and port.isdigit() else 0)

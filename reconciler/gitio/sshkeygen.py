"""Is a signature good? OpenSSH's own `ssh-keygen -Y verify` says so, as a child that is guarded like git's.

What it reads lies in memory of this process alone: the one key that may have signed, and the signature. No file of
allowed signers is left on the disk that somebody else could write, and a command that may write nothing can verify too.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ..model.errors import SourceRejected
from .failure import scrub
from .profile import ENVIRONMENT
from .runner import Finished, GitRunner
from .signature import NAMESPACE, Signed

PROGRAM = "ssh-keygen"
MAX_SAID = 64 << 10  # bytes of its answer
_ENVIRONMENT = {name: ENVIRONMENT[name] for name in ("PATH", "HOME", "LC_ALL")}
_REFUSES = b"Could not verify signature."
_PROBE = "probe"  # a signer of no commit


class Keygen:
    """One `program` that verifies. `timeout` bounds a child, in seconds."""

    def __init__(self, runner: GitRunner, program: str = PROGRAM) -> None:
        self._runner, self._program = runner, program

    def fits(self, signed: Signed, key: str, signer: str, timeout: float) -> bool:
        """Did `key` (`TYPE BASE64`) sign exactly this, for git? `signer` is a person's name.

        Raises SourceRejected (`ssh-keygen-missing`, `ssh-keygen-failed`) and SourceUnavailable.
        """
        allowed = f'{signer} namespaces="{NAMESPACE}" {key}\n'
        done = self._verify(signed.payload, allowed, signed.armored, signer, timeout)
        if done.status == 0 and done.stdout.startswith(f'Good "{NAMESPACE}" signature for {signer} with '.encode()):
            return True
        if done.status > 0 and done.stdout.startswith(_REFUSES):
            return False
        raise self._failed(done)

    def check(self, timeout: float) -> None:
        """Is there one that can verify at all? It must refuse an empty signature. Raises as `fits`."""
        done = self._verify(b"", "", b"", _PROBE, timeout)
        if done.status <= 0 or not done.stdout.startswith(_REFUSES):
            raise self._failed(done)

    def _verify(self, payload: bytes, allowed: str, armored: bytes, signer: str, timeout: float) -> Finished:
        with ExitStack() as stack:
            keys, signature = (stack.enter_context(_in_memory(data)) for data in (allowed.encode(), armored))
            argv = [self._program, "-Y", "verify", "-f", _path(keys), "-I", signer, "-n", NAMESPACE,
                    "-s", _path(signature)]  # fmt: skip
            return self._run(argv, payload, (keys, signature), timeout)

    def _run(self, argv: Sequence[str], payload: bytes, descriptors: Sequence[int], timeout: float) -> Finished:
        try:
            return self._runner.program(
                argv, _ENVIRONMENT, name="ssh-keygen", stdin=payload, timeout=timeout, max_output=MAX_SAID,
                descriptors=descriptors,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise SourceRejected(
                "cannot verify signatures of commits: there is no ssh-keygen", code="ssh-keygen-missing",
                hint="apt install openssh-client",
            ) from error  # fmt: skip

    def _failed(self, done: Finished) -> SourceRejected:
        said = scrub(next((line.strip() for line in done.stderr.splitlines() if line.strip()), ""))[:200]
        return SourceRejected(
            f"cannot verify signatures of commits: ssh-keygen ended with status {done.status}: {said}",
            code="ssh-keygen-failed", hint="OpenSSH 8.2 or later is needed: ssh -V",
        )  # fmt: skip


@contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    """A descriptor of a file that has no name."""
    descriptor = os.memfd_create("signature", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        yield descriptor
    finally:
        os.close(descriptor)


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"

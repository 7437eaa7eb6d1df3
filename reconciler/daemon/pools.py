"""The workers of the run loop: bounded, and split so that nothing slow can hold up a start."""

import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from .run_ops import Result

STARTS = min(8, 2 * (os.cpu_count() or 1))  # more in parallel only adds latency on a Docker Engine
PREPARING = 8  # pulls and creates; a pull may take minutes
CODE = 8  # as PREPARING, of runs with code or files to send: what hangs keeps nobody from starting who needs none of it
KEEPING = 8  # inspect, collect, discard
OUTPUTS = 4  # collecting what may be a gigabyte must not keep others from being looked at
STOPPING = 16  # a stop waits for the whole grace period


class Pools:
    """`submit(kind, call)` runs `call` in the pool of its kind; its Result arrives in `results`, then `kick` is called.

    `results` also receives a fault of ours as an exception, which the loop raises.
    """

    KINDS = {"start": STARTS, "prepare": PREPARING, "code": CODE, "keep": KEEPING, "outputs": OUTPUTS, "stop": STOPPING}  # noqa: RUF012

    def __init__(self, kick: Callable[[], None]) -> None:
        self._kick = kick
        self.results: SimpleQueue[Result | BaseException] = SimpleQueue()
        self._pools = {kind: ThreadPoolExecutor(size, f"run-{kind}") for kind, size in self.KINDS.items()}

    def submit(self, kind: str, call: Callable[[], Result]) -> None:
        """Context variables go along: they do not cross a submit by themselves."""
        context = contextvars.copy_context()
        self._pools[kind].submit(context.run, self._work, call)

    def _work(self, call: Callable[[], Result]) -> None:
        try:
            self.results.put(call())
        except BaseException as error:  # noqa: BLE001  handed to the loop, which ends the process
            self.results.put(error)
        self._kick()

    def drain(self) -> list[Result]:
        """What has arrived since. Raises the fault of ours that a worker met."""
        found: list[Result] = []
        while not self.results.empty():
            item = self.results.get()
            if isinstance(item, BaseException):
                raise item
            found.append(item)
        return found

    def close(self) -> None:
        """Take no more work; what is in flight ends by its own deadlines."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

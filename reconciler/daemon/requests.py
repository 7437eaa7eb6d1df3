"""What operators ask of the run loop: queued by the server's threads, served by the loop, answered by a future."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..model.errors import ReconcilerError

if TYPE_CHECKING:
    from .run_loop import RunLoop


@dataclass(slots=True)
class Request:
    """`call(loop, now)` runs in the loop's thread; its result or expected error is what `answer` gives."""

    call: Callable[["RunLoop", datetime], Any]
    future: "Future[Any]" = field(default_factory=Future)

    def serve(self, loop: "RunLoop", now: datetime) -> None:
        if not self.future.set_running_or_notify_cancel():
            return  # whoever asked was told that it could not be done
        try:
            self.future.set_result(self.call(loop, now))
        except ReconcilerError as error:
            self.future.set_exception(error)

    def withdraw(self) -> None:
        """Nobody waits for it any more. Without effect once it is being served."""
        self.future.cancel()

    def answer(self, timeout: float = 20.0) -> Any:
        """Raises the loop's error, or TimeoutError."""
        return self.future.result(timeout)

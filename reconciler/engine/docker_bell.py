"""In: kicks from the Engine's event stream, and from threads of our own. Out: both as one stream."""

import threading
from collections.abc import Iterator


class _Feed:
    """An ordered set of names that were spoken of: bounded by how many there are."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.over = False
        self.error: Exception | None = None


class Bell:
    """The Engine says nothing of commands that end in containers without our labels; who reads their output knows."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._feeds: list[_Feed] = []

    def ring(self, name: str) -> None:
        """Something may have changed about this run."""
        with self._news:
            for feed in self._feeds:
                feed.names[name] = None
            self._news.notify_all()

    def beside(self, kicks: Iterator[str]) -> Iterator[str]:
        """All that `kicks` yields, and what rings meanwhile; it ends, and raises, as `kicks` does."""
        feed = _Feed()
        with self._news:
            self._feeds.append(feed)
        threading.Thread(target=self._listen, args=(kicks, feed), name="docker kicks", daemon=True).start()
        try:
            while True:
                with self._news:
                    self._news.wait_for(lambda: feed.names or feed.over)
                    names, over = list(feed.names), feed.over
                    feed.names.clear()
                yield from names
                if over and feed.error is not None:
                    raise feed.error
                if over:
                    return
        finally:
            with self._news:
                self._feeds.remove(feed)

    def _listen(self, kicks: Iterator[str], feed: _Feed) -> None:
        try:
            for name in kicks:
                with self._news:
                    feed.names[name] = None
                    self._news.notify_all()
        except Exception as error:  # noqa: BLE001 - it belongs to whoever listens
            feed.error = error
        finally:
            with self._news:
                feed.over = True
                self._news.notify_all()

"""Which version of each secret a run was given, told by a keyed MAC of its value: the ledger holds no more of it."""

import hmac
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping

from ..history.base import History
from ..model.event import EventName
from ..model.secret import Secret
from .events import EventStream

VERSIONS = "secret_versions"  # meta
CHANGED = "secret_changed"  # meta: name -> when a run was first given another value than the one before, ISO 8601
REMEMBERED = 1024  # runs whose event is not sent a second time


class Versions:
    """Called by workers, several at once. `key` is the state's own."""

    def __init__(self, history: History, emit: EventStream, key: bytes) -> None:
        self._history, self._emit, self._key = history, emit, key
        self._lock = threading.Lock()
        self._told: OrderedDict[str, dict[str, str]] = OrderedDict()

    def given(self, job: str, run_id: str, values: Mapping[str, Secret]) -> None:
        """A run has been given these. Said once per run, and for a value that is another than the last run's."""
        versions = {name: self._version(name, value) for name, value in sorted(values.items())}
        with self._lock:
            if self._told.get(run_id) == versions:
                return
            self._told[run_id] = versions
            while len(self._told) > REMEMBERED:
                self._told.popitem(last=False)
            known = json.loads(self._history.get_meta(VERSIONS) or "{}")
            rotated = {name: known[name] for name, version in versions.items() if known.get(name, version) != version}
            if rotated:
                at = self._emit.now().strftime("%Y-%m-%dT%H:%M:%SZ")
                changed = json.loads(self._history.get_meta(CHANGED) or "{}") | dict.fromkeys(rotated, at)
                self._history.set_meta(CHANGED, json.dumps(changed))
            if known | versions != known:
                self._history.set_meta(VERSIONS, json.dumps(known | versions))
        for name, old in rotated.items():
            self._emit.emit(EventName.SECRET_ROTATED, secret=name, old=old, new=versions[name], run_id=run_id)
        said = " ".join(f"{name}@{version}" for name, version in versions.items())
        self._emit.emit(EventName.RUN_SECRETS, job=job, run=run_id, secrets=said)

    def _version(self, name: str, value: Secret) -> str:
        return hmac.digest(self._key, b"secret\0" + name.encode() + b"\0" + value.reveal(), "sha256").hex()[:8]

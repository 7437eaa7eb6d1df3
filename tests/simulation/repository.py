"""A repository of made-up commits, and the Source that reads it: whole, broken, slow or away, as the script says."""

import hashlib
import json
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from reconciler.model.desired import Commit, Entry, Snapshot
from reconciler.model.errors import SourceUnavailable

NAMES = ("a", "b", "ops/c", "ops/d", "ml/e", "ml/f")
SCHEDULES = (
    "0 2 * * *", "30 */6 * * *", "15 4 * * mon", "0 9,17 * * mon-fri", "@every 7h", "@every 11h30m", "10 1 1,15 * *",
    "45 23 * * *", "manual", "30 2 * * sun", "@daily", "5 */4 * * *", "0 0 * * sat", "@every 36h",
)  # fmt: skip
ZONES = ("UTC", "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
EXCLUDED = ("2026-10-04", "2026-10-09..2026-10-13", "2026-10-25", "2026-10-28..2026-11-01")
BROKEN = b"schedule: [\n"
File = dict[str, Any]


def random_job(dice: random.Random) -> File:
    job: File = {"schedule": dice.choice(SCHEDULES), "image": dice.choice(("app:1", "app:2")), "command": ["work"]}
    if not job["schedule"].startswith(("@every", "manual")):
        job["timezone"] = dice.choice(ZONES)
        if dice.random() < 0.3:
            job["schedule"] = narrowed(dice, job["schedule"])
    if dice.random() < 0.4:
        job["concurrency_policy"] = dice.choice(("Forbid", "Allow", "Replace", "Queue"))
    if dice.random() < 0.3:
        both = job.get("concurrency_policy") in ("Allow", "Queue")
        job["catch_up"] = "all" if both else dice.choice(("none", "latest"))
    if dice.random() < 0.3:
        job["retries"] = {"limit": dice.randint(1, 3), "delay": dice.choice(("5s", "2m"))}
    if dice.random() < 0.3:
        job["start_deadline"] = dice.choice(("30s", "10m", "3h"))
    if dice.random() < 0.3:
        job["timeout"] = dice.choice(("5m", "1h"))
    if dice.random() < 0.2:
        job["on_retire"] = "stop"
    if dice.random() < 0.1:
        job["protect"] = True
    if dice.random() < 0.2:
        job["concurrency_group"] = "g"
    if dice.random() < 0.1:
        job["priority"] = dice.choice((-1, 5))
    if dice.random() < 0.1:
        job["pause_after_failures"] = 2
    if dice.random() < 0.12:
        job["strategy"] = dice.choice((
            {"parallelism": 2}, {"parallelism": 3, "max_parallel": 1}, {"matrix": {"x": ["1", "2"]}, "fail_fast": True},
        ))  # fmt: skip
    if dice.random() < 0.12:
        job["resources"] = {"gpus": dice.choice((1, 1, 2))}
    if dice.random() < 0.15:
        job["outputs"] = "/outputs"
    if dice.random() < 0.12:
        job["wait_for"] = [{"job": dice.choice(NAMES), "within": dice.choice(("10m", "2h"))}]
    if dice.random() < 0.12:
        job["after"] = [{"job": dice.choice(NAMES), "on": dice.choice(("success", "failure", "any"))}]
    return job


def narrowed(dice: random.Random, cron: str) -> File:
    """The long form of a schedule: with days that are left out, or a jitter, or both."""
    long: File = {"cron": cron}
    if dice.random() < 0.6:
        long["exclude"] = dice.sample(EXCLUDED, dice.randint(1, len(EXCLUDED)))
    if dice.random() < 0.6:
        long["jitter"] = dice.choice(("90s", "25m", "3h"))
    return long


class Repository:
    """What the team commits. `files` maps a job's name to its file, None = a broken one."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.files: dict[str, File] = {}
        self.broken: set[str] = set()
        self.serial = 0
        self.rewritten = False  # the newest commit does not descend from those before
        for name in dice.sample(NAMES, dice.randint(1, 3)):
            self.files[name] = random_job(dice)
        self.blobs: dict[str, bytes] = {}
        self.commit("first")

    def commit(self, subject: str, *, rewritten: bool = False) -> str:
        self.serial += 1
        self.rewritten = rewritten
        self.subject = subject
        return self.id

    @property
    def id(self) -> str:
        return f"{self.serial:040x}"

    def snapshot(self) -> Snapshot:
        entries = []
        for name in sorted(self.files):
            data = BROKEN if name in self.broken else json.dumps(self.files[name]).encode()
            blob = hashlib.sha1(data).hexdigest()
            self.blobs[blob] = data
            entries.append(Entry(f"{name}.yaml", f"jobs.d/{name}.yaml", blob, len(data)))
        commit = Commit(self.id, "team", 0.0, self.subject)
        return Snapshot(commit, "main", tuple(entries))

    # -- edits ------------------------------------------------------------------------------------------------
    def edit(self) -> str:
        """One random change, committed; what it was."""
        kinds = ("schedule", "field", "image", "delete", "create", "move", "break", "mend", "suspend", "same", "many")
        kind = self.dice.choice(kinds)
        said = self._edit(kind)
        rewritten = self.dice.random() < 0.04
        self.commit(said, rewritten=rewritten)
        return said + (" (history rewritten)" if rewritten else "")

    def _edit(self, kind: str) -> str:
        dice = self.dice
        name = dice.choice(sorted(self.files)) if self.files else ""
        free = [one for one in NAMES if one not in self.files]
        if kind == "create" or not name:
            if not free:
                return "nothing"
            fresh = dice.choice(free)
            self.files[fresh] = random_job(dice)
            return f"create {fresh}"
        job = self.files[name]
        if kind == "schedule":
            fresh_one = dice.choice(SCHEDULES)
            bare = fresh_one.startswith(("@every", "manual"))
            self.files[name] = {**job, "schedule": fresh_one}
            if not bare and dice.random() < 0.3:
                self.files[name]["schedule"] = narrowed(dice, fresh_one)
            if bare:
                self.files[name].pop("timezone", None)
        elif kind == "field":
            fresh_job = random_job(dice)
            kept = {key: job[key] for key in ("schedule", "timezone") if key in job}
            fresh_job.pop("timezone", None)
            self.files[name] = {**fresh_job, **kept}
        elif kind == "image":
            self.files[name] = {**job, "image": dice.choice(("app:1", "app:2", "app:3", "app:4", "missing:1"))}
        elif kind == "delete":
            del self.files[name]
            self.broken.discard(name)
        elif kind == "move" and free:
            target = dice.choice(free)
            del self.files[name]
            self.broken.discard(name)
            self.files[target] = {**job, "moved_from": name}
            return f"move {name} to {target}"
        elif kind == "break":
            self.broken.add(name)
        elif kind == "mend":
            self.broken.clear()
        elif kind == "suspend":
            self.files[name] = {**job, "suspend": not job.get("suspend", False)}
        elif kind == "many":
            return "; ".join(self._edit(dice.choice(("schedule", "field", "create", "delete"))) for _ in range(3))
        return f"{kind} {name}"

    def mend(self) -> None:
        """Everything is whole again; nothing is suspended."""
        self.broken.clear()
        froms = [job.get("moved_from") for job in self.files.values()]
        for name, job in self.files.items():
            if job["image"].startswith("missing"):
                self.files[name] = {**job, "image": "app:9"}
            old = job.get("moved_from")
            if old in self.files or (old is not None and froms.count(old) > 1):  # such jobs are held, and rightly
                del self.files[name]["moved_from"]
            for link in ("after", "wait_for"):  # of jobs that are gone, or in a circle
                self.files[name].pop(link, None)
        self.commit("mend")

    def suspend_all(self) -> None:
        for name, job in self.files.items():
            self.files[name] = {**job, "suspend": True}
        self.commit("suspend all")


class RepositorySource:
    """Fulfils `Source`. `weather()` is asked before each reading: it may raise SourceUnavailable or take its time."""

    def __init__(self, repository: Repository, weather: Callable[[], bool], *, local: bool) -> None:
        self._repository, self._weather, self._is_local = repository, weather, local
        self._latest: Snapshot | None = None
        self._closed = False

    @property
    def local(self) -> bool:
        return self._is_local

    def head(self) -> str | None:
        return self._repository.id

    def _check(self) -> None:
        if self._closed or not self._weather():
            raise SourceUnavailable("cannot fetch: the network is down")

    def snapshot(self, applied: str | None) -> Snapshot:
        self._check()
        if self._latest is None or self._latest.commit.id != self._repository.id:
            self._latest = self._repository.snapshot()
        descends = not self._repository.rewritten or applied in (None, self._latest.commit.id)
        if self._latest.descends != descends:
            self._latest = replace(self._latest, descends=descends)
        return self._latest

    def read(self, blobs: Sequence[str]) -> dict[str, bytes]:
        self._check()
        return {blob: self._repository.blobs[blob] for blob in blobs}

    def watch(self, stop: threading.Event, kick: Callable[[], None]) -> None:
        """Kicks are the script's."""

    def close(self) -> None:
        self._closed = True

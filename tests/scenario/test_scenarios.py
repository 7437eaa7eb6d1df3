"""Promise: whole stories, before + repository + now -> plan + after, stay word for word what was once agreed to.

Every folder in `cases/` is one story: `before/` is live, `repo/` is what git says now, `case.yaml` the circumstances;
`plan.txt`, `plan.json`, `plan.md` and `after.json` are what must come of it. GOLDEN=write rewrites them:
read the difference before you commit it. Digests are replaced by words, so that only what a reader sees is compared.
"""

import hashlib
import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.apply.execute import apply_plan
from reconciler.engine.memory import MemoryEngine, MemoryWorld
from reconciler.history.sqlite import open_history
from reconciler.model.desired import Commit, Entry, Snapshot
from reconciler.plan import render_json, render_markdown, render_text
from reconciler.plan.context import PlanContext
from reconciler.plan.diff import make_plan
from reconciler.plan.timeline import timeline
from reconciler.spec.desire import desire
from reconciler.spec.service import parse_service
from tests.kit.orders import engine_context

CASES = Path(__file__).parent / "cases"
BEFORE = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 25, 8, 13, tzinfo=UTC)
OLD, NEW = "9f3c2e1" + "0" * 33, "41d7a90" + "0" * 33


class Story:
    """One case, played on a memory engine with a real ledger."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        self.case: dict[str, Any] = yaml.safe_load((folder / "case.yaml").read_text())
        self.now = BEFORE
        self.world = MemoryWorld(lambda: self.now)
        self.engine = MemoryEngine(engine_context(str(state)), self.world)
        self.history = open_history(state / "ledger.db")
        self.events: list[dict[str, object]] = []

    def config(self, key: str):
        text = self.case.get(key) or self.case.get("service") or ""
        config, problems = parse_service(("instance: db1\n" + text).encode(), "service.yaml")
        assert not problems
        return config

    def desired(self, sub: str, commit: str, config):
        """What the files below `sub` say, read as a commit."""
        base = self.folder / sub
        files = {p.relative_to(base).as_posix(): p.read_bytes() for p in sorted(base.rglob("*")) if p.is_file()}
        blobs = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
        entries = tuple(Entry(path, f"jobs.d/{path}", blobs[path], len(files[path])) for path in files)
        by_blob = {blobs[path]: files[path] for path in files}
        descends = self.case.get("descends", True) if commit == NEW else True
        made = Commit(commit, "Anna Roth", (self.now - timedelta(minutes=4)).timestamp(), self.case["about"][:40])
        snapshot = Snapshot(made, "main", entries, descends=descends)
        return desire(snapshot, lambda wanted: {blob: by_blob[blob] for blob in wanted}, config, {})[0]

    def disturb(self) -> None:
        """What happened to the engine since."""
        done = self.case.get("engine", {})
        for name in done.get("forget", ()):
            self.world.forget(name)
        for name, drift in done.get("drift", {}).items():
            self.world.drift[name] = tuple(drift)
        for name in done.get("taken", ()):
            self.world.plant_foreign(name)
        self.world.listing_complete = done.get("complete", True)

    def plan(self, want, config, approvals: dict[str, str]):
        ctx = PlanContext(
            self.now, approvals, OLD if self.history.standing() else "", self.case.get("active_runs", {}),
            preview=None,
        )  # fmt: skip
        return make_plan(want, self.engine.observe(), self.history.standing(), config, ctx)

    def apply(self, plan, config) -> None:
        apply_plan(
            plan, self.engine, self.history, lambda: self.now, config, lambda spec, digest: (),
            cancelled=lambda: False, report=self._told,
        )  # fmt: skip

    def _told(self, events) -> None:
        self.events += [{"event": event.name.value, "job": event.job} for event in events]

    def after(self) -> dict[str, object]:
        """Engine and ledger, as far as a reader can judge them."""
        rows = self.history.standing()
        return {
            "engine": {
                name: {"revision": entry.live.revision[:7], "foreign": entry.live.digest == "foreign"}
                for name, entry in sorted(self.world.standing.items())
            },
            "ledger": {
                name: {
                    "revision": rows[name].revision[:7],
                    "applied_at": rows[name].applied_at.isoformat(),
                    "cursor": rows[name].cursor.isoformat(),
                    "forbidden": bool(rows[name].forbidden),
                    "image": rows[name].spec.image,
                }
                for name in sorted(rows)
            },
            "events": sorted(self.events, key=lambda event: (event["event"], event["job"])),
        }  # fmt: skip


def play(story: Story) -> dict[str, str]:
    """The story's four texts by file name."""
    config = story.config("service")
    story.apply(story.plan(story.desired("before", OLD, config), config, {}), config)
    story.events.clear()
    story.disturb()
    story.now = NOW
    config = story.config("service_now")
    want = story.desired("repo", NEW, config)
    plan = story.plan(want, config, {})
    approved = {"plan": {plan.digest: "anna"}, "commit": {NEW: "anna"}}.get(story.case.get("approve", ""), {})
    plan = story.plan(want, config, approved) if approved else plan
    times = timeline(plan, story.history.standing(), NOW)
    shown = {
        "plan.txt": render_text.render(plan, instance="db1", now=NOW, times=times),
        "plan.json": render_json.render(plan, instance="db1", times=times),
        "plan.md": render_markdown.render(plan, instance="db1", now=NOW, times=times),
    }
    story.apply(plan, config)
    shown["after.json"] = json.dumps(story.after(), indent=2) + "\n"
    return {name: worded(text, plan.digest) for name, text in shown.items()}


def worded(text: str, plan_digest: str) -> str:
    text = text.replace(plan_digest, "PLAN-DIGEST")
    text = re.sub(r'"[0-9a-f]{64}"', '"SPEC-DIGEST"', text)
    return re.sub(r"memory:\d{8}", "REF", text)


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: folder.name)
def test_a_story_ends_as_agreed(folder: Path, tmp_path: Path):
    story = Story(folder, tmp_path)
    try:
        shown = play(story)
    finally:
        story.history.close()
    for name, text in shown.items():
        if os.environ.get("GOLDEN") == "write":
            (folder / name).write_text(text, encoding="utf-8")
        assert text == (folder / name).read_text(encoding="utf-8"), f"{folder.name}/{name}"

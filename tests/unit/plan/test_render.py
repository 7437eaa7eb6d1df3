"""Promise: one plan, three renderings: text, stable JSON, Markdown that fits; no secret, no escape (S3, S6)."""

import json
from dataclasses import replace

import pytest

from reconciler.model.job import OnRetire
from reconciler.model.plan import Plan
from reconciler.model.problem import FieldProblem
from reconciler.plan import render_json, render_markdown, render_text
from reconciler.plan.exit_code import exit_code
from reconciler.plan.render_markdown import LIMIT
from reconciler.plan.timeline import timeline
from tests.kit.fleet import NOW, cron, desired, held, job, plan_of, row, rows, shows, spec

RENDERERS = {
    "text": lambda plan: render_text.render(plan, instance="db1", now=NOW),
    "colour": lambda plan: render_text.render(plan, colour=True, instance="db1", now=NOW),
    "json": lambda plan: render_json.render(plan, instance="db1"),
    "markdown": lambda plan: render_markdown.render(plan, instance="db1", now=NOW),
}
every_renderer = pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS.keys())


def busy() -> tuple[Plan, dict]:
    etl = spec("data/etl", schedule=cron("*/15 * * * *"), environment=(("TOKEN", "hunter2"),))
    standing = rows(etl, "data/old", "web/vacuum", "same")
    new = spec("data/etl", schedule=cron("*/10 * * * *"), environment=(("TOKEN", "hunter3"),), timeout=1200.0)
    want = desired([job(new, {"schedule": 2, "timeout": 5}), "same", "ml/scan"], [held("web/vacuum", "web")])
    return plan_of(want, standing, active_runs={"data/old": 1, "data/etl": 1}), standing


def test_the_text_reads_like_the_screen_in_the_docs():
    plan, standing = busy()
    assert (
        render_text.render(plan, instance="db1", now=NOW, times=timeline(plan, standing, NOW))
        == f"""\
db1   9f3c2e1 -> 41d7a90 (main)   Anna Roth, 4 min ago: "ETL every 10 min; drop old report"

! web/vacuum  held     web/vacuum.yaml:9:1: unknown key "parameter"
    did you mean "parameters"?
    9f3c2e1 stays live and keeps firing
    until it is fixed, nothing of web is retired
- data/old    retire   file deleted; 1 active run is drained, history and volumes stay
    looks like ml/scan: `moved_from: data/old` there would carry its history along
~ data/etl    replace  data/etl.yaml:2
    schedule           */15 * * * *  ->  */10 * * * *  96 -> 144 runs a day; next 09:20 09:30 09:40
    timeout            24h  ->  20m                    ! longer than the interval of 10m   :5
    environment.TOKEN  changed
    1 active run goes on with the old spec
+ ml/scan     create   30 2 * * *; 1 run a day; next Thu 02:30 Fri 02:30 Sat 02:30
    looks like data/old: `moved_from: data/old` would carry its history along
    runs  true

Fires in the next 24 h   99 -> 147 (+48 data/etl, -1 data/old, +1 ml/scan)   at most 4 at once

Plan {plan.digest}: 1 to create, 1 to replace, 1 to retire, 1 held, 1 unchanged.
No run starts or stops by applying. Apply exactly this:  reconciler apply {plan.digest}
"""
    )


def test_nothing_to_do_is_one_sentence():
    text = render_text.render(plan_of(desired(["a"]), rows("a"), previous_revision=desired().commit.id))
    assert text.splitlines()[0].startswith("at 41d7a90 (main)")
    assert text.splitlines()[-1].endswith("nothing to do, 1 unchanged.")


def test_a_refusal_ends_with_the_command_that_lifts_it_and_offers_no_apply():
    plan = plan_of(desired(), rows("a"))
    text = render_text.render(plan)
    assert f"reconciler approve {plan.digest}" in text
    assert "reconciler apply" not in text
    assert "REFUSED  the jobs directory is empty at this commit, and 1 of 1 live job would be retired (a)" in text


def test_a_plan_that_its_reader_need_not_apply_names_no_command():
    text = render_text.render(plan_of(desired(["a"]), {}), applying=True)
    assert text.splitlines()[-1] == "No run starts or stops by applying. It is applied now."


def test_applying_says_whose_runs_it_ends():
    plan = plan_of(desired(["b"]), rows(spec("a", on_retire=OnRetire.STOP), "b"), active_runs={"a": 1})
    assert "Applying ends the active runs of a." in render_text.render(plan)


def test_colours_are_plain_ansi_and_only_there_when_asked():
    plan, _ = busy()
    plain, coloured = render_text.render(plan), render_text.render(plan, colour=True)
    assert "\x1b" not in plain
    assert "\x1b[31m- data/old" in coloured
    for code in ("0", "1", "2", "31", "32", "33", "35"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == plain


@every_renderer
def test_S3_no_value_of_the_environment_is_shown(render):
    plan, _ = busy()
    assert "hunter" not in render(plan)
    assert "hunter" not in render(plan_of(desired([spec("a", environment=(("TOKEN", "hunter2"),))])))


@every_renderer
@pytest.mark.parametrize(
    "hostile", ["\x1b]0;owned\x07", "\x9b31m", "a\u202eb", "x\u2028y", "\r\nok", "\x00", "\ud800"],
    ids=["escape", "c1", "bidi", "line separator", "newline", "nul", "surrogate"],
)  # fmt: skip
def test_S6_what_comes_from_files_cannot_steer_a_terminal(render, hostile: str):
    old, new = spec("a", labels=(("k", "v"),)), spec("a", labels=(("k", hostile),), description=hostile, image=hostile)
    want = desired(
        [new, f"name{hostile}"], [replace(held("b"), problems=(replace(held("b").problems[0], message=hostile),))]
    )
    want = replace(want, commit=replace(want.commit, subject=hostile, author=hostile), ref=hostile)
    live = replace(shows(rows(old)), taken={f"name{hostile}": hostile})
    shown = render(plan_of(want, rows(old), live, preview=lambda spec: Said(hostile)))
    assert all(char.isprintable() or char in "\n\x1b" for char in shown)
    assert shown.count("\x1b") == shown.count("\x1b[") and "\x1b]" not in shown
    shown.encode()


class Said:
    argv = None

    def __init__(self, warning: str) -> None:
        self.warnings = (warning,)
        self.problems = (FieldProblem("files./x", "file-unreadable", warning, warning),)


# -- JSON -----------------------------------------------------------------------------------------------------
def test_the_json_keys_are_those_that_are_documented():
    plan, standing = busy()
    data = json.loads(render_json.render(plan, instance="db1", times=timeline(plan, standing, NOW)))
    documented = render_json.__doc__ or ""
    for level in (data, data["actions"][0], data["actions"][2]["changes"][0], data["problems"][0], data["fires"]):
        assert [key for key in level if key not in documented] == []
    assert data["version"] == 1
    assert data["digest"] == plan.digest
    assert data["counts"] == {
        "create": 1, "replace": 1, "heal": 0, "move": 0, "retire": 1, "hold": 1, "forbid": 0, "permit": 0,
    }  # fmt: skip
    change = data["actions"][2]["changes"][0]
    assert (change["field"], change["old"], change["new"]) == ("schedule", "*/15 * * * *", "*/10 * * * *")
    assert change["where"] == {"path": "data/etl.yaml", "line": 2, "inherited": False}
    assert data["fires"]["deltas"]["data/etl"] == 48


# -- Markdown -------------------------------------------------------------------------------------------------
def test_markdown_stands_summary_first_and_ends_with_the_command():
    plan, _ = busy()
    text = render_markdown.render(plan, instance="db1", now=NOW)
    assert text.startswith("### reconciler `db1`: 1 to create, 1 to replace, 1 to retire, 1 held, 1 unchanged\n")
    assert text.index("<details>") < text.index("```diff") < text.index("</details>")
    assert text.endswith(f"Apply exactly this: `reconciler apply {plan.digest}`\n")


def test_markdown_stays_below_what_forges_take_and_cuts_the_detail_not_the_summary():
    text = render_markdown.render(plan_of(desired([spec(f"job-{n:05}") for n in range(3000)])))
    assert len(text) <= LIMIT
    assert "3000 to create" in text.splitlines()[0]
    assert "more lines: reconciler plan\n```" in text
    assert "Apply exactly this" in text


def test_markdown_nothing_can_leave_its_fence_or_span():
    nasty = "```\n</details>\n@everyone <img src=x onerror=alert(1)> `x` | **b**"
    want = desired([spec("a", description=nasty, labels=(("k", nasty),))])
    want = replace(want, commit=replace(want.commit, subject=nasty))
    text = render_markdown.render(plan_of(want, rows("a")))
    fence = next(line for line in text.splitlines() if line.endswith("diff"))[:-4]
    assert len(fence) == 4
    outside = text.split(fence + "diff")[0] + text.split(fence)[-1]
    without_spans = "".join(part for index, part in enumerate(outside.split("`")) if index % 2 == 0)
    assert "@everyone" not in without_spans
    assert "<img" not in without_spans


# -- exit codes -----------------------------------------------------------------------------------------------
WARNING = replace(held("a").problems[0], severity="warning")
TAKEN = replace(shows({}), taken={"a": "x"})


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        pytest.param(plan_of(desired(["a"]), rows("a")), 0, id="nothing"),
        pytest.param(plan_of(desired(["b"]), rows(spec("a", protect=True), "b")), 0, id="only a protected job held"),
        pytest.param(plan_of(desired(["a"])), 2, id="changes"),
        pytest.param(plan_of(desired(["a"], [held("b")])), 1, id="a file that does not validate"),
        pytest.param(plan_of(desired(), rows("a")), 1, id="refused"),
        pytest.param(plan_of(desired(["a"]), {}, TAKEN), 1, id="a name that is taken"),
        pytest.param(plan_of(desired(["a"], problems=(WARNING,)), rows("a")), 0, id="a warning"),
        pytest.param(plan_of(desired(["a"]), rows(row("a", forbidden="x"))), 2, id="a permit is a change"),
    ],
)
def test_exit_codes(plan: Plan, code: int):
    assert exit_code(plan) == code

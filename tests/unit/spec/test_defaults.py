"""Promise: D1's `_defaults.yaml`. Scalars and lists replace, maps merge by key, and the place of each is known."""

from reconciler.model.job import Location, Resources, Retries
from reconciler.model.service import ServiceConfig

from .kit import Repo

BASE = "schedule: manual\nimage: busybox\n"


def spec(files: dict[str, str | bytes], name: str = "ml/a", config: ServiceConfig | None = None):  # type: ignore[no-untyped-def]
    state = Repo(files, config=config or ServiceConfig()).desire()
    assert not state.errors, state.errors
    return state.jobs[name].spec


def test_D1_the_nearest_scalar_and_list_counts() -> None:
    found = spec({
        "_defaults.yaml": BASE + "timeout: 1h\nnetworks: [none]\nuser: root\n",
        "ml/_defaults.yaml": "timeout: 2h\nuser: ml\n",
        "ml/a.yaml": "user: a\n",
    })  # fmt: skip
    assert (found.timeout, found.networks, found.user) == (7200.0, ("none",), "a")


def test_D1_maps_merge_by_key_whatever_form_each_file_chose() -> None:
    found = spec({
        "_defaults.yaml": BASE + "environment: {A: 1, B: 1}\nretries: 4\nresources: {cpus: 1, memory: 1g}\n",
        "ml/_defaults.yaml": "environment: [B=2, C=2]\nretries: {delay: 5s}\n",
        "ml/a.yaml": "environment: {C: 3}\nresources: {memory: 2g}\n",
    })  # fmt: skip
    assert found.environment == (("A", "1"), ("B", "2"), ("C", "3"))
    assert found.retries == Retries(limit=4, delay=5.0)
    assert found.resources == Resources(1.0, 2 << 30)


def test_D1_defaults_hold_at_and_below_their_folder_only() -> None:
    files: dict[str, str | bytes] = {
        "ml/_defaults.yaml": "timeout: 1h\n",
        "ml/x/a.yaml": BASE,
        "web/a.yaml": BASE,
        "mlx/a.yaml": BASE,
    }
    state = Repo(files).desire()
    assert {name: job.spec.timeout for name, job in state.jobs.items()} == {
        "ml/x/a": 3600.0, "web/a": 86400.0, "mlx/a": 86400.0,
    }  # fmt: skip


def test_D1_a_schedule_replaces_as_a_whole() -> None:
    found = spec(
        {
            "_defaults.yaml": BASE.replace("manual", "{cron: '5 4 * * *', timezone: Asia/Tokyo}"),
            "ml/a.yaml": "schedule: {every: 5m}\n",
        }
    )
    assert (found.schedule.every, found.schedule.timezone) == (300.0, "UTC")


def test_D1_a_size_replaces_inherited_limits() -> None:
    config = ServiceConfig(sizes={"gpu": Resources(cpus=8.0, memory=64 << 30)})
    found = spec(
        {"_defaults.yaml": BASE + "resources: {cpus: 1, memory: 1g}\n", "ml/a.yaml": "resources: {size: gpu}\n"},
        config=config,
    )
    assert found.resources == config.sizes["gpu"]


def test_D1_a_script_drops_an_inherited_command_and_the_reverse() -> None:
    assert spec({"_defaults.yaml": BASE + "command: [a]\n", "ml/a.yaml": "script: b\n"}).command is None
    assert spec({"_defaults.yaml": BASE + "script: a\n", "ml/a.yaml": "command: [b]\n"}).script is None


def test_D1_each_field_knows_the_file_and_line_that_said_it() -> None:
    state = Repo({
        "_defaults.yaml": "image: busybox\nenvironment:\n  A: 1\n  B: 1\nresources: {cpus: 1, memory: 1g}\n",
        "ml/a.yaml": "schedule: manual\nenvironment:\n  B: 2\nresources: {memory: 2g}\n",
    }).desire()  # fmt: skip
    lines = state.jobs["ml/a"].lines
    assert lines["image"] == Location("_defaults.yaml", 1, inherited=True)
    assert lines["schedule"] == Location("ml/a.yaml", 1)
    assert lines["environment"] == Location("ml/a.yaml", 2)
    assert lines["environment.A"] == Location("_defaults.yaml", 3, inherited=True)
    assert lines["environment.B"] == Location("ml/a.yaml", 3)
    assert lines["resources.cpus"] == Location("_defaults.yaml", 5, inherited=True)
    assert lines["resources.memory"] == Location("ml/a.yaml", 4)
    assert "timeout" not in lines
    assert len(lines) == len(dict(lines))


def test_a_file_is_found_beside_the_defaults_that_name_it() -> None:
    found = spec({
        "_defaults.yaml": BASE + "files: {/ca.pem: {from: ca.pem}}\n", "ca.pem": "root", "ml/ca.pem": "other",
        "ml/a.yaml": "files: {/x: {from: ca.pem}}\n",
    })  # fmt: skip
    assert {f.target: f.content for f in found.files} == {"/ca.pem": "root", "/x": "other"}


def test_a_problem_of_an_inherited_value_is_shown_where_it_was_written() -> None:
    state = Repo(
        {
            "_defaults.yaml": "image: busybox\nschedule: '61 * * * *'\n",
            "a.yaml": "version: 1\n",
            "b.yaml": "version: 1\n",
        }
    ).desire()
    assert {(p.path, p.line) for p in state.problems} == {("_defaults.yaml", 2)}
    assert set(state.held) == {"a", "b"}


def test_what_says_something_of_one_job_is_no_default() -> None:
    state = Repo({"_defaults.yaml": BASE + "name: a\nmoved_from: b\n", "a.yaml": "version: 1\n"}).desire()
    assert [p.code for p in state.problems] == ["not-a-default", "not-a-default"]


def test_D2_broken_defaults_hold_every_job_below_and_no_other() -> None:
    files: dict[str, str | bytes] = {
        "ml/_defaults.yaml": "timout: 5m\n", "ml/a.yaml": BASE, "ml/x/b.yaml": BASE + "suspen: true\n",
        "web/c.yaml": BASE,
    }  # fmt: skip
    state = Repo(files).desire()
    assert set(state.jobs) == {"web/c"}
    assert set(state.held) == {"ml/a", "ml/x/b"}
    assert [(p.path, p.code) for p in state.problems] == [
        ("ml/_defaults.yaml", "unknown-key"),
        ("ml/x/b.yaml", "unknown-key"),
    ]
    assert state.held["ml/a"].problems[0].path == "ml/_defaults.yaml"


def test_yml_counts_as_yaml_for_defaults_too_but_not_both() -> None:
    assert spec({"_defaults.yml": BASE + "timeout: 1h\n", "ml/a.yaml": "version: 1\n"}).timeout == 3600.0
    state = Repo({"_defaults.yml": BASE, "_defaults.yaml": BASE, "a.yaml": "version: 1\n"}).desire()
    assert [p.code for p in state.problems] == ["defaults-twice"]
    assert set(state.held) == {"a"}

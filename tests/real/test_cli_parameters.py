"""Promise: a run gets its values on the command line, every listing shows them, and a key starts one run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.gitrepo import GitRepo

LOAD = """
schedule: manual
image: none
script: |
  echo "since=$SINCE batch=$BATCH_SIZE dry=$DRY"
  [ "$DRY" = false ]
parameters:
  since: {description: "the first day, such as 2026-11-20"}
  batch-size: {type: integer, default: 500}
  dry: {type: boolean, default: false}
"""


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceChild]:
    with reachable_folder() as folder:
        repo = GitRepo(Path(folder) / "jobs")
        repo.commit({"jobs.d/data/load.yaml": LOAD}, "one job")
        with service_child(folder, repo.path, "process", instance="params") as made:
            made.start().reachable()
            eventually(lambda: len(made.standing()) == 1, "the job stands")
            yield made


def test_a_run_finds_its_values_in_its_environment_and_every_listing_shows_them(service: ServiceChild) -> None:
    done = service.run("run", "data/load", "--param", "since=2026-11-20", "--param", "dry=False", "--follow")
    assert (done.returncode, done.stdout) == (0, "since=2026-11-20 batch=500 dry=false\n"), done
    assert "  ok   since=2026-11-20  " in service.cli("runs", "data/load"), "defaults are not repeated"
    assert "batch-size=500 dry=false since=2026-11-20" in service.cli("show", "data/load")
    shown = service.json("show", "data/load")
    assert shown["parameters"] == {"batch-size": "500", "dry": "false", "since": "2026-11-20"}
    assert service.json("runs", "data/load")["runs"][0]["parameters"]["since"] == "2026-11-20"


def test_R1_the_same_key_starts_no_second_run_and_waits_for_the_first(service: ServiceChild) -> None:
    words = ("run", "data/load", "--param", "since=x", "--key", "order-7")
    first = service.json(*words)
    again = service.json(*words)
    assert (again["run_id"], first["repeated"], again["repeated"]) == (first["run_id"], False, True)
    waited = service.json(*words, "--wait")
    assert (waited["run_id"], waited["phase"], waited["key"]) == (first["run_id"], "succeeded", "order-7")
    assert "was started before with this key" in service.run(*words).stdout


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("--param", "sinc=x"), "parameter-unknown", 'did you mean "since"?'),
        (("--param", "since=x", "--param", "batch-size=ten"), "parameter-invalid", ""),
        ((), "parameter-missing", "say: --param since=VALUE"),
        (("--param", "since"), "usage", "write it as --param epochs=20"),
        (("--param", "since=a", "--param", "since=b"), "usage", "keep one of them"),
    ],
)
def test_what_is_wrong_is_said_with_a_code_and_a_hint(
    service: ServiceChild, words: tuple[str, ...], code: str, hint: str
) -> None:
    done = service.run("run", "data/load", *words)
    assert done.returncode != 0
    assert f"[{code}]" in done.stderr
    assert hint in done.stderr

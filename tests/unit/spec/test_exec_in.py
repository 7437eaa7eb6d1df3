"""Promise: a job in another container says nothing of a container of its own, and runs only where policy lists it."""

import pytest

from reconciler.model.job import JobSpec, Resources
from reconciler.model.problem import SpecProblem
from reconciler.model.secret import StoreConfig
from reconciler.model.service import Owner, Policy, ServiceConfig, Total
from reconciler.spec.exec_in import OF_A_CONTAINER
from tests.unit.spec.kit import Repo

GRANTED = ServiceConfig(instance="db1", policy=Policy(exec_in=("shop-*", "web"), secrets_in_env=True),
                        secret_stores=(StoreConfig("directory", "/s", names=("pw",)),))  # fmt: skip
HERE = "schedule: manual\nexec_in: shop-db-1\ncommand: vacuumdb\n"


def read(text: str, config: ServiceConfig = GRANTED, **others: str) -> JobSpec:
    state = Repo({"web/a.yaml": text, **others}, config=config).desire()
    assert not state.errors, state.errors
    return state.jobs["web/a"].spec


def problems(text: str, config: ServiceConfig = GRANTED, **others: str) -> list[SpecProblem]:
    return list(Repo({"web/a.yaml": text, **others}, config=config).desire().errors)


def said(text: str, config: ServiceConfig = GRANTED, **others: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.code) for problem in problems(text, config, **others)]


def test_it_needs_no_image() -> None:
    spec = read(HERE)
    assert (spec.exec_in, spec.image, spec.command) == ("shop-db-1", "", ("vacuumdb",))


def test_all_that_is_said_of_the_run_itself_is_kept() -> None:
    more = (
        "user: postgres\nworking_dir: /srv\nenvironment: {A: 1}\ntimeout: 5m\nretries: 2\nstart_script: echo\n"
        "parameters: {since: {default: x}}\nconcurrency_policy: Queue\nstop_grace_period: 1m\nlabels: {team: a}\n"
    )
    spec = read(HERE + more)
    assert (spec.user, spec.working_dir, spec.env, spec.timeout) == ("postgres", "/srv", {"A": "1"}, 300.0)
    assert (spec.retries.limit, spec.start_script, spec.parameters[0].name) == (2, "echo", "since")


BESIDE = {
    "image": "busybox", "pull_policy": "always", "entrypoint": "[sh]", "packages": "{pip: [a]}",
    "repositories": "[{url: 'https://e.org/c', target: /c}]", "files": "{/f: {content: x}}", "volumes": "['a:/a']",
    "networks": "[none]", "resources": "{cpus: 1}", "read_only": "true", "cap_add": "[CHOWN]", "outputs": "/o",
    "hold_on_failure": "1h",
}  # fmt: skip


def test_every_field_of_a_container_is_known_here() -> None:
    assert set(BESIDE) == set(OF_A_CONTAINER)


@pytest.mark.parametrize("field", BESIDE)
def test_S1_what_describes_a_container_is_a_problem_at_its_line(field: str) -> None:
    assert said(HERE + f"{field}: {BESIDE[field]}\n") == [(4, "exec-in-conflict")]


def test_D1_defaults_from_further_up_speak_of_other_jobs() -> None:
    above = "".join(f"{field}: {value}\n" for field, value in BESIDE.items())
    assert read(HERE, **{"_defaults.yaml": above}) == read(HERE)
    spec = read("command: x\n", **{"_defaults.yaml": above, "web/_defaults.yaml": "schedule: manual\nexec_in: web\n"})
    assert (spec.exec_in, spec.image, spec.resources) == ("web", "", Resources())


def test_D1_what_stands_below_it_is_meant_for_the_job() -> None:
    defaults = {"_defaults.yaml": "schedule: manual\nexec_in: shop-db-1\n"}
    (problem,) = problems("image: busybox\ncommand: x\n", **defaults)
    assert (problem.path, problem.line, problem.code) == ("web/a.yaml", 1, "exec-in-conflict")


def test_without_a_command_there_is_nothing_to_run() -> None:
    assert said("schedule: manual\nexec_in: shop-db-1\n") == [(2, "command-missing")]


def test_S3_a_secret_is_a_variable_where_policy_allows_it_and_never_a_file() -> None:
    assert read(HERE + "secrets: [{name: pw, env: PGPASSWORD}]\n").secrets[0].env == "PGPASSWORD"
    assert said(HERE + "secrets: [pw]\n") == [(4, "exec-in-conflict")]
    closed = ServiceConfig(policy=Policy(exec_in=("*",)), secret_stores=GRANTED.secret_stores)
    assert said(HERE + "secrets: [{name: pw, env: PGPASSWORD}]\n", closed) == [(4, "secret-in-env")]


@pytest.mark.parametrize("name", ["a b", "../x", "-x", "a", "a/b", "x" * 256])
def test_it_is_the_name_of_a_container(name: str) -> None:
    assert [code for _, code in said(HERE.replace("shop-db-1", f"'{name}'"))] in (["value-invalid"], ["value-too-long"])


# -- policy ----------------------------------------------------------------------------------------------------------


def owned(top: tuple[str, ...], own: tuple[str, ...]) -> ServiceConfig:
    return ServiceConfig(policy=Policy(exec_in=top), owners=(Owner("team", ("**",), Policy(exec_in=own)),))


CLOSED = {
    "no policy": ServiceConfig(),
    "a policy that lists others": ServiceConfig(policy=Policy(exec_in=("shop-db", "web-*"))),
    "an owner to whom it is not granted": owned(("shop-*",), ()),
    "an owner beyond the ceiling": owned(("web-*",), ("shop-*",)),
}


@pytest.mark.parametrize("config", CLOSED.values(), ids=CLOSED)
def test_S1_where_policy_does_not_list_it_the_line_is_refused(config: ServiceConfig) -> None:
    (problem,) = problems(HERE, config)
    assert (problem.line, problem.code, problem.pointer) == (2, "exec-in-not-allowed", "/exec_in")
    assert problem.hint


def test_S1_an_owner_may_be_granted_some_of_what_all_may() -> None:
    assert read(HERE, owned(("shop-*",), ("shop-db-?",))).exec_in == "shop-db-1"


def test_S1_a_container_of_ours_is_never_entered() -> None:
    config = ServiceConfig(instance="db1", policy=Policy(exec_in=("*",)))
    (problem,) = problems(HERE.replace("shop-db-1", "db1.web.b"), config)
    assert problem.code == "exec-in-not-allowed" and "no policy" in problem.hint


def test_limits_are_those_of_the_container() -> None:
    policy = Policy(exec_in=("*",), images=(), max_resources=Resources(cpus=1.0, memory=1 << 30))
    owner = Owner("team", ("**",), total=Total(cpus=2.0, memory=1 << 30))
    assert read(HERE, ServiceConfig(policy=policy, owners=(owner,))).resources == Resources()

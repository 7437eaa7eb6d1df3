"""Rule S3 in job files: secrets by name alone; one that is missing or not granted is a problem at its line."""

import json

import pytest

from reconciler.model.job import SecretRef
from reconciler.model.secret import StoreConfig
from reconciler.model.service import Owner, Policy, ServiceConfig
from reconciler.spec.admission import admit, may_have_secret
from reconciler.spec.canonical import digest_of, from_data, to_data
from reconciler.spec.filemodes import unreadable_secrets
from reconciler.spec.service import parse_service

from .kit import JOB, Repo, desired, job


def directory(*names: str, fault: str = "") -> StoreConfig:
    return StoreConfig("directory", "/s", names=frozenset(names), fault=fault)


def service(*stores: StoreConfig, env: bool = False, **fields: object) -> ServiceConfig:
    return ServiceConfig(secret_stores=stores or (directory("a", "b"),), policy=Policy(secrets_in_env=env), **fields)  # type: ignore[arg-type]


FORMS = {
    "a name alone": ("[a]", SecretRef("a", "/run/secrets/a")),
    "a target of its own": ("[{name: a, target: /root/.pgpass}]", SecretRef("a", "/root/.pgpass")),
    "another target in the same place": ("[{name: a, target: /run/secrets/x}]", SecretRef("a", "/run/secrets/x")),
    "a mode": ("[{name: a, mode: 0444}]", SecretRef("a", "/run/secrets/a", mode=0o444)),
    "a variable": ("[{name: a, env: TOKEN}]", SecretRef("a", env="TOKEN")),
}


@pytest.mark.parametrize(("said", "ref"), FORMS.values(), ids=FORMS)
def test_every_form_is_a_reference(said: str, ref: SecretRef) -> None:
    spec = job(f"secrets: {said}\n", service(env=True))
    assert spec.secrets == (ref,)
    assert from_data(json.loads(json.dumps(to_data(spec)))) == spec


WRONG = {
    "no store has it": ("secrets: [a, nope]", "secret-missing", "/secrets/1"),
    "a path for a name": ("secrets: [a/b]", "value-invalid", "/secrets/0"),
    "a name that hides": ("secrets: [.a]", "value-invalid", "/secrets/0"),
    "a file and a variable": ("secrets: [{name: a, env: A, target: /a}]", "secret-form", "/secrets/0"),
    "a target over the system": ("secrets: [{name: a, target: /proc/a}]", "target-invalid", "/secrets/0/target"),
    "a target that climbs": ("secrets: [{name: a, target: /run/secrets/../a}]", "target-invalid", "/secrets/0/target"),
    "the directory itself": ("secrets: [{name: a, target: /run/secrets}]", "target-invalid", "/secrets/0/target"),
    "a mode that writes": ("secrets: [{name: a, mode: 0600}]", "file-mode", "/secrets/0/mode"),
    "a mode that keeps its reader out": ("secrets: [{name: a, mode: 0044}]", "file-mode", "/secrets/0/mode"),
    "one target twice": ("secrets: [a, a]", "target-twice", "/secrets/1"),
    "the target of a file": (
        "secrets: [{name: a, target: /x}]\nfiles: {/x: {content: y}}", "target-twice", "/secrets/0",
    ),
    "the target of a volume": ("secrets: [{name: a, target: /x}]\nvolumes: ['v:/x']", "target-twice", "/secrets/0"),
    "the variable of `environment`": (
        "secrets: [{name: a, env: A}]\nenvironment: {A: 1}", "secret-clash", "/secrets/0",
    ),
    "the variable of a parameter": (
        "secrets: [{name: a, env: N_X}]\nparameters: {n-x: {default: 1}}", "secret-clash", "/secrets/0",
    ),
    "one variable twice": ("secrets: [{name: a, env: A}, {name: b, env: A}]", "secret-clash", "/secrets/1"),
    "a variable of ours": ("secrets: [{name: a, env: RECONCILER_JOB}]", "variable-reserved", "/secrets/0/env"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code", "pointer"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_at_its_line(text: str, code: str, pointer: str) -> None:
    state = desired(f"{text}\n", service(env=True))
    assert (code, pointer) in [(problem.code, problem.pointer) for problem in state.errors]
    assert state.errors[0].line == 1


def test_S3_a_missing_one_names_itself_its_owner_and_what_was_searched() -> None:
    (found,) = desired("secrets: [orders-dns]\n", service(directory("orders-dsn"))).errors
    assert found.message == "default asks for the secret orders-dns, and no store has it"
    assert found.hint == 'did you mean "orders-dsn"?'
    (found,) = desired("secrets: [x]\n", service(directory("orders-dsn"), StoreConfig("credentials", names=frozenset()))
                       ).errors  # fmt: skip
    assert found.hint == "Searched: directory /s, credentials."
    (found,) = desired("secrets: [x]\n", ServiceConfig()).errors
    assert found.hint == "The service file names no `secret_stores`."
    (found,) = desired("secrets: [x]\n", service(directory(fault="cannot use it"))).errors
    assert found.hint == "A store cannot be used: cannot use it"


def test_a_store_that_nobody_has_looked_into_may_have_any() -> None:
    assert job("secrets: [x]\n", service(StoreConfig("directory", "/s"))).secrets


def test_the_variables_of_an_environment_are_names_in_capitals() -> None:
    store = StoreConfig("environment", prefix="S_", names=frozenset({"ORDERS_DSN"}))
    assert job("secrets: [orders-dsn]\n", service(store)).secrets
    assert desired("secrets: [orders]\n", service(store)).errors[0].code == "secret-missing"


def test_one_that_is_too_short_to_be_masked_is_a_warning() -> None:
    stores = (
        StoreConfig("directory", "/s", names=frozenset({"a", "b"}), short=frozenset({"a"})),
        StoreConfig("environment", prefix="S_", names=frozenset({"C"}), short=frozenset({"C"})),
    )
    state = desired("secrets: [a, b, c]\n", service(*stores))
    assert [(p.code, p.severity, p.pointer) for p in state.problems] == [
        ("secret-short", "warning", "/secrets/0"), ("secret-short", "warning", "/secrets/2"),
    ]  # fmt: skip


OWNERS = (
    Owner("ml", ("ml/**",), Policy(secrets=("s3-*",))), Owner("web", ("web/**",), Policy()), Owner("rest", ("**",)),
)  # fmt: skip
GRANTS = {
    "without owners all are the default owner's": (ServiceConfig(), "default", "x", True),
    "the global policy is the ceiling": (ServiceConfig(policy=Policy(secrets=("a*",))), "default", "x", False),
    "what the global policy lists": (ServiceConfig(policy=Policy(secrets=("a*",))), "default", "ab", True),
    "an owner has what its policy lists": (ServiceConfig(owners=OWNERS), "ml", "s3-models", True),
    "an owner has nothing else": (ServiceConfig(owners=OWNERS), "ml", "snowflake", False),
    "an owner whose policy lists none has none": (ServiceConfig(owners=OWNERS), "web", "s3-models", False),
    "nor has one without a policy": (ServiceConfig(owners=OWNERS), "rest", "s3-models", False),
    "but for what the global policy lists": (
        ServiceConfig(owners=OWNERS, policy=Policy(secrets=("ca-*",))), "rest", "ca-root", True,
    ),
    "an owner's list beyond the ceiling grants nothing": (
        ServiceConfig(owners=OWNERS, policy=Policy(secrets=("ca-*",))), "ml", "s3-models", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("config", "owner", "name", "may"), GRANTS.values(), ids=GRANTS)
def test_S1_secrets_are_granted_by_owner(config: ServiceConfig, owner: str, name: str, may: bool) -> None:
    assert may_have_secret(config, owner, name) is may


def test_S1_a_secret_of_another_owner_is_a_problem_of_the_file_and_forbids_what_is_live() -> None:
    config = service(directory("s3-models", "shop"), owners=OWNERS)
    (found,) = desired("secrets:\n- s3-models\n- shop\n", config, path="ml/train.yaml").errors
    assert (found.line, found.code) == (3, "secret-not-allowed")
    assert found.message == "the secret shop is not allowed for ml"
    live = job("secrets: [s3-models]\n", config, path="ml/train.yaml")
    assert [v.code for v in admit(live, service(owners=(Owner("ml", ("**",), Policy()),)))] == ["secret-not-allowed"]


def test_S3_a_variable_needs_a_grant_of_its_own() -> None:
    text = "secrets: [{name: a, env: A}]\n"
    assert [p.code for p in desired(text, service()).errors] == ["secret-in-env"]
    assert job(text, service(env=True)).secrets[0].env == "A"


def test_a_list_of_defaults_is_replaced_like_any_other() -> None:
    files = {"_defaults.yaml": "secrets: [a]\n", "x.yaml": JOB, "y.yaml": f"{JOB}secrets: [b]\n"}
    jobs = Repo(files, config=service()).desire().jobs
    assert [ref.name for name in "xy" for ref in jobs[name].spec.secrets] == ["a", "b"]


# -- encrypted files of the commit -----------------------------------------------------------------------------------

AGE = StoreConfig("age", "jobs.d/secrets", identity_file="/k")


def test_an_encrypted_file_of_the_commit_is_part_of_the_job_and_no_stray_file() -> None:
    repo = Repo({"x.yaml": f"{JOB}secrets: [a]\n", "secrets/a.age": b"\xff1"}, config=service(AGE))
    first = repo.desire()
    assert first.jobs["x"].spec.secrets == (SecretRef("a", "/run/secrets/a", sealed="/zE="),) and not first.ignored
    repo.files["secrets/a.age"] = b"\xff2"
    second = repo.desire()
    assert first.jobs["x"].digest != second.jobs["x"].digest
    del repo.files["secrets/a.age"]
    assert [p.code for p in repo.desire().errors] == ["secret-missing"]
    repo.files["secrets/a.age"] = b"\xff1"
    assert repo.desire().jobs["x"].digest == first.jobs["x"].digest


def test_the_first_store_that_has_the_name_counts() -> None:
    files: dict[str, str | bytes] = {"x.yaml": f"{JOB}secrets: [a]\n", "secrets/a.age": b"1"}
    for stores, sealed in (((directory("a"), AGE), False), ((AGE, directory("a")), True), ((directory(), AGE), True)):
        (ref,) = Repo(files, config=service(*stores)).desire().jobs["x"].spec.secrets
        assert bool(ref.sealed) is sealed


def test_the_order_of_secrets_means_nothing() -> None:
    one, other = job("secrets: [a, b]\n", service()), job("secrets: [b, a]\n", service())
    assert digest_of(one) == digest_of(other)


# -- who can read the file -------------------------------------------------------------------------------------------

READERS = {
    "root gives it to the job's user": ("user: '1000:50'\nsecrets: [a]\n", 0, None),
    "root in the container": ("user: root\nsecrets: [a]\n", 0, None),
    "nobody knows the image's user": ("secrets: [a]\n", 0, "warning"),
    "a service that is not root cannot give it away": ("user: '1000'\nsecrets: [a]\n", 990, "error"),
    "and root in the container has no power over it": ("secrets: [a]\n", 990, "error"),
    "the job's user is the service's": ("user: '990'\nsecrets: [a]\n", 990, None),
    "open to all in the container": ("secrets: [{name: a, mode: 0444}]\n", 990, None),
}


@pytest.mark.parametrize(("text", "uid", "severity"), READERS.values(), ids=READERS)
def test_a_file_that_the_job_could_not_read_is_found_by_the_plan(text: str, uid: int, severity: str | None) -> None:
    found = [problem.severity for problem in unreadable_secrets(job(text, service()), uid, uid)]
    assert found == ([severity] if severity else [])


# -- the service file ------------------------------------------------------------------------------------------------


def test_stores_are_read_in_their_order() -> None:
    text = b"""secret_stores:
- {type: directory, path: /etc/reconciler/secrets}
- {type: credentials}
- {type: age, path: jobs.d/secrets/, identity_file: /k}
- {type: environment, prefix: S_}
policy: {secrets: ["a*"], secrets_in_env: true}
"""
    config, problems = parse_service(text, "s.yaml")
    assert not problems and config.secret_stores == (
        StoreConfig("directory", "/etc/reconciler/secrets"), StoreConfig("credentials"), AGE,
        StoreConfig("environment", prefix="S_"),
    )  # fmt: skip
    assert (config.policy.secrets, config.policy.secrets_in_env) == (("a*",), True)


STORES = {
    "a directory without a path": ("{type: directory}", "store-incomplete"),
    "a relative directory": ("{type: directory, path: secrets}", "path-invalid"),
    "credentials with a path": ("{type: credentials, path: /x}", "store-incomplete"),
    "age without an identity": ("{type: age, path: x}", "store-incomplete"),
    "age outside the repository": ("{type: age, path: ../x, identity_file: /k}", "path-invalid"),
    "an environment without a prefix": ("{type: environment}", "store-incomplete"),
    "a type that is not known": ("{type: vault}", "value-unknown"),
}


@pytest.mark.parametrize(("store", "code"), STORES.values(), ids=STORES)
def test_a_store_that_cannot_be_is_a_problem_of_the_service_file(store: str, code: str) -> None:
    _, problems = parse_service(f"secret_stores: [{store}]\n".encode(), "s.yaml")
    assert [problem.code for problem in problems] == [code]

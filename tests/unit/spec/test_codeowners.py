"""Promise: CODEOWNERS asks for each job file exactly those whom the service file calls its owner's members."""

import re

import pytest

from reconciler.model.secret import StoreConfig
from reconciler.model.service import Owner, Person, ServiceConfig, SourceConfig
from reconciler.spec.admission import owner_of
from reconciler.spec.codeowners import codeowners

CONFIG = ServiceConfig(
    source=SourceConfig(paths=("jobs.d/common", "jobs.d/db1")),
    people=(Person("anna", "anna", "anna@x.org"), Person("cleo", email="cleo@x.org"), Person("ops", "ops")),
    owners=(
        Owner("ml", ("ml/**",), members=("anna",)), Owner("one", ("web/backup", "web/t-*"), members=("cleo", "ops")),
        Owner("web", ("web/*", "shared/*/x"), members=("anna", "cleo")), Owner("rest", ("**",), members=("ops",)),
    ),
)  # fmt: skip
MEMBERS = {"ml": ["anna@x.org"], "one": ["cleo@x.org"], "web": ["anna@x.org", "cleo@x.org"], "rest": []}


def test_the_file_is_as_a_person_would_write_it() -> None:
    text = codeowners(ServiceConfig(people=CONFIG.people, owners=CONFIG.owners[:2]))
    assert [line for line in text.splitlines() if not line.startswith("# ") or line in ("# ml", "# one")] == [
        "# one", "/jobs.d/web/backup.yaml cleo@x.org", "/jobs.d/web/backup.yml cleo@x.org",
        "/jobs.d/web/t-* cleo@x.org", "# ml", "/jobs.d/ml/** anna@x.org",
    ]  # fmt: skip


def asked(text: str, file: str) -> list[str]:
    """Whom a forge asks: the last pattern that matches, by the rules of gitignore that are needed here."""
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith("/"):
            pattern, *mails = line.split()
            regex = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
            if re.fullmatch(regex, "/" + file):
                found = mails
    return found


NAMES = ["ml/a", "ml/deep/b", "web/backup", "web/t-1", "web/other", "web/deep/x", "shared/a/x", "shared/a/y", "top"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["jobs.d/common", "jobs.d/db1"])
def test_a_job_file_asks_the_members_of_the_jobs_owner(name: str, path: str) -> None:
    owner = owner_of(CONFIG, name)
    assert owner is not None
    assert asked(codeowners(CONFIG), f"{path}/{name}.yaml") == MEMBERS[owner]


def test_the_root_as_jobs_directory() -> None:
    config = ServiceConfig(source=SourceConfig(paths=("",)), people=CONFIG.people, owners=CONFIG.owners[:1])
    assert "/ml/** anna@x.org" in codeowners(config).splitlines()


def test_no_owner_is_asked_about_encrypted_secrets() -> None:
    stores = (StoreConfig("age", "jobs.d/web/my keys"), StoreConfig("age", ""), StoreConfig("directory", "/s"))
    text = codeowners(ServiceConfig(people=CONFIG.people, owners=CONFIG.owners, secret_stores=stores))
    assert text.splitlines()[-2:] == ["/jobs.d/web/my\\ keys/", "/*.age"]

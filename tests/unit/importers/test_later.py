"""Promise: parts that the schema does not know are told with the lines to write, and written once it knows them."""

import pytest

from reconciler.importers.draft import known
from tests.unit.importers.kit import only, run
from tests.unit.importers.test_saturn import recipe

GIVEN = {
    "repositories": ("git_repositories", "[{url: 'git@git.example.org:ml/churn.git', reference: main}]",
                     [{"url": "git@git.example.org:ml/churn.git", "ref": "main",
                       "target": "/home/jovyan/workspace/churn"}]),
    "packages": ("extra_packages", "{pip: 'a>=1 b', conda: {install: c}, apt: {install: ''}}",
                 {"pip": ["a>=1", "b"], "conda": ["c"]}),
    "start_script": ("start_script", "pip install x", "pip install x"),
    "secrets": ("secrets", "[{location: keys/k.txt, attachment_type: file, owner: o, name: Db Pw}]",
                [{"name": "db-pw", "target": "/home/jovyan/workspace/keys/k.txt"}]),
}  # fmt: skip


@pytest.mark.parametrize("field", GIVEN)
def test_it_is_written_or_told_with_the_line_to_write(field: str) -> None:
    key, said, value = GIVEN[field]
    found = run("saturn", recipe(**{key: said, "schedule": '"@daily"'}))
    fields = only(found)
    if known(field):
        assert fields[field] == value
        return
    (note,) = (n for n in found.notes if n.hint.startswith(f"{field}: "))
    assert note.code.value in ("not-yet", "secret")
    assert fields["suspend"] is True
    text = found.files[0].text
    assert f"needed: line {note.line}:" in text
    assert field not in fields


def test_secret_files_and_old_names() -> None:
    said = "[{location: keys/k.txt, type: file, name: key}, {location: PW, type: environment_variable, description: d}]"
    hints = " ".join(n.hint for n in run("saturn", recipe(secrets=said)).notes)
    if not known("secrets"):
        assert "secrets: [{name: key, target: /home/jovyan/workspace/keys/k.txt}]" in hints
        assert "secrets: [{name: pw, env: PW}]" in hints
    else:
        assert 'Provide the secret "key"' in hints


def test_a_secret_as_a_variable_is_told_where_policy_does_not_allow_it() -> None:
    found = run("saturn", recipe(secrets="[{location: PW, type: environment_variable, name: pw}]"))
    assert "secrets" not in only(found)
    assert any("may not have the secret pw as a variable" in note.message for note in found.notes)


def test_requirements_are_packages() -> None:
    found = run("saturn", recipe(extra_packages='{pip: {requirements_txt: "# x\\na==1  # y\\n\\nb\\n"}}'))
    hints = " ".join(n.hint for n in found.notes)
    assert known("packages") or "pip: [a==1, b]" in hints


def test_a_value_of_a_secret_is_never_in_a_note() -> None:
    found = run("saturn", recipe(environment_variables="{DB_PASSWORD: hunter2}"))
    assert all("hunter2" not in n.message + n.hint for n in found.notes)
    assert "hunter2" not in "".join(line for line in found.files[0].text.splitlines() if line.startswith("#"))
    assert any(n.code == "plain-secret" for n in found.notes)
    assert "hunter2" not in found.files[0].text, "nor in the file: git would keep it for ever"

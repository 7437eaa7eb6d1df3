"""Promise: what imports validates, under whatever defaults and policy; what had to go for that is told at its place."""

import pytest

from reconciler.importers.model import FORMATS, MAX_BYTES, MAX_JOBS, Kind, NoteCode
from reconciler.model.service import Owner, Policy, ServiceConfig
from tests.unit.importers.kit import by_name, codes, note, only, run

SERVICE = "services:\n  job:\n    image: 'r.example.org/a:1'\n    labels: {schedule: '*/10 * * * *', timezone: UTC}\n"


def test_the_defaults_above_count() -> None:
    """The same file: with a default that takes its place nothing is refused, with one that clashes something is."""
    text = SERVICE + "    volumes: ['/srv:/a']\n    tmpfs: /a\n"
    found = run("compose", text, config=ServiceConfig(policy=Policy(binds=("/srv",))))
    assert "target-twice" in note(found, "refused-part").message
    assert len(only(found)["volumes"]) == 1
    default = {"web/_defaults.yaml": b"timeout: 1h\nscript: echo default\n"}
    kept = only(run("compose", SERVICE + "    command: x\n", folder="web", defaults=default))
    assert kept["command"] == "x"


def test_defaults_that_are_broken_let_nothing_through() -> None:
    found = run("compose", SERVICE, folder="web", defaults={"web/_defaults.yaml": b"imag: a\n"})
    assert found.files == ()
    assert "unknown key" in note(found, "refused-job").message


def test_owners_and_their_policy_count() -> None:
    config = ServiceConfig(owners=(Owner("group/web", ("web/**",), policy=Policy(images=("postgres:*",))),))
    assert "no owner" in note(run("compose", SERVICE, config=config), "refused-job").message
    found = run("compose", SERVICE, config=config, folder="web")
    assert "image-not-allowed" in note(found, "refused-job").message
    assert found.files == ()
    allowed = run("compose", SERVICE, config=config, folder="web", image="postgres:17")
    assert by_name(allowed)["web/job"]["suspend"] is True


def test_several_faults_of_one_field_go_one_by_one() -> None:
    text = SERVICE + (
        "    environment: {RECONCILER_X: a, '1A': b, OK: c, 'A B': d}\n    cap_add: [SYS_ADMIN, NO]\n"
        "    volumes: ['/etc:/e', 'v:/proc/x', 'ok:/ok', '/var/run/docker.sock:/d']\n"
    )
    found = run("compose", text)
    fields = only(found)
    assert fields["environment"] == {"OK": "c"}
    assert fields["volumes"] == [{"source": "ok", "target": "/ok"}]
    assert "cap_add" not in fields
    refused = [n.message for n in found.notes if n.code == "refused-part"]
    for words in ("RECONCILER_X", "1A", "A B", "/etc", "/proc/x", "docker.sock", "SYS_ADMIN"):
        assert any(words in message for message in refused), (words, refused)


def test_values_of_an_environment_are_in_no_note() -> None:
    found = run(
        "compose",
        SERVICE + "    environment: {'1A': canary, RECONCILER_B: canary, C: \"can\\x07ary\"}\n    command: canary$X\n",
    )
    assert "canary" not in repr(found.notes)


def test_a_character_that_no_job_file_may_hold() -> None:
    found = run("compose", SERVICE + '    environment: {A: "x\\x00y", B: ok}\n    user: "a\\u202eb"\n    labels: {}\n'
                "    x-schedule: '@daily'\n".replace("    labels: {}\n", ""))  # fmt: skip
    assert only(found)["environment"] == {"B": "ok"}
    assert sum("control character" in n.message for n in found.notes) == 2


def test_an_image_that_cannot_be_stands_aside_for_the_callers() -> None:
    text = SERVICE.replace("r.example.org/a:1", "Not An Image")
    assert only(run("compose", text))["image"] == "debian:stable-slim"
    found = run("compose", text, image="busybox:1.36")
    assert (only(found)["image"], only(found)["suspend"]) == ("busybox:1.36", True)


def test_an_image_of_the_callers_that_cannot_be_lets_nothing_through() -> None:
    assert run("crontab", "@daily x\n", image="NO NO").files == ()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"\xff\xfe\x00", b"\t\t\n", b"[]", b"{}", b"null", b"- 1\n- [2]\n", b"x", b"\xef\xbb\xbf",
     b"a: &a [*a]",
             b"&a [*a, *a]", b"%", b"=", b"[", b"[x", b"* * * * *", b"\x00" * 10], ids=repr)  # fmt: skip
def test_a_file_of_nothing_gives_a_note_and_no_job(format: str, data: bytes) -> None:
    found = run(format, data)
    assert found.files == ()
    assert found.notes
    assert {n.kind for n in found.notes} <= {Kind.LEFT_OUT, Kind.LOST}


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_too_large(format: str) -> None:
    found = run(format, b"#" * (MAX_BYTES + 1))
    assert (found.files, codes(found)) == ((), {"unreadable"})


def test_too_many_jobs_are_told() -> None:
    found = run("crontab", "@daily a\n" * (MAX_JOBS + 5))
    assert len(found.files) == MAX_JOBS
    assert note(found, "too-many").line == MAX_JOBS + 1


def test_every_code_is_used_in_one_place_at_least() -> None:
    from pathlib import Path

    import reconciler.importers

    source = "".join(path.read_text() for path in Path(reconciler.importers.__path__[0]).glob("*.py"))
    for code in NoteCode:
        assert f"NoteCode.{code.name}" in source, code

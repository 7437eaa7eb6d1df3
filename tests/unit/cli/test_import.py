"""Promise: `import` into a fresh repository gives what `validate` and `plan` take, and overwrites nothing unasked."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli.main import main
from reconciler.importers.formats import FORMATS
from reconciler.importers.model import FORMATS as NAMES
from tests.lab.gitrepo import GitRepo

CRONJOB = """\
kind: CronJob
metadata: {name: backup}
spec:
  schedule: "30 2 * * *"
  jobTemplate: {spec: {template: {spec: {containers: [{image: "postgres:17", args: [pg_dump]}]}}}}
"""
FILES = {
    "saturn": "type: job\nspec: {name: train, image: {uri: 'r.example.org/a:1'}, command: a, schedule: '@daily', "
              "secrets: [{location: A, attachment_type: environment_variable}], instance_type: large}\n",
    "kubernetes": CRONJOB,
    "crontab": "MAILTO=me\n30 2 * * * backup --full > /dev/null\n@reboot warm\n",
    "ofelia": '[job-exec "flush"]\nschedule = @daily\ncontainer = web\ncommand = flush\n'
              '[job-run "r"]\nschedule = 0 0 3 * * *\n'
              "image = a:1\nvolume = /etc:/etc\n",
    "compose": "services: {a: {image: 'a:1', labels: {schedule: '@daily'}, volumes: ['./x:/x'], "
               "environment: {P: $P}}}\n",
}  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A fresh `reconciler init`, to stand in; beside it one file of each format."""
    home = tmp_path / "jobs"
    GitRepo(home)
    monkeypatch.chdir(home)
    monkeypatch.setenv("RECONCILER_STATE_DIR", str(tmp_path / "state"))
    assert main(["init"]) == 0
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    capsys.readouterr()
    return home


def test_the_command_knows_the_formats_that_there_are() -> None:
    assert tuple(FORMATS) == NAMES == tuple(FILES)


@pytest.mark.parametrize("format", FILES)
def test_what_imports_validates_and_is_planned(format: str, repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", format, f"../{format}", "--into", "jobs.d/team"]) == 0
    said = capsys.readouterr()
    assert "created  jobs.d/team/" in said.out
    assert f"../{format}:" in said.out
    written = sorted(path.name for path in (repo / "jobs.d/team").iterdir())
    assert written
    assert main(["validate"]) == 0
    assert f"{1 + len(written)} job files: {1 + len(written)} fine" in capsys.readouterr().err
    GitRepo(repo).commit({})
    assert main(["plan", "--source", "."]) == 2
    planned = capsys.readouterr().out
    assert all(f"+ team/{name.removesuffix('.yaml')}" in planned for name in written)


def test_the_same_import_again_changes_nothing(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["import", "kubernetes", "../kubernetes", "--into", "jobs.d"]
    assert main(words) == 0
    before = (repo / "jobs.d/backup.yaml").stat()
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("kept     jobs.d/backup.yaml\n")
    assert (repo / "jobs.d/backup.yaml").stat().st_ino == before.st_ino


def test_nothing_is_written_if_one_file_is_in_the_way(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repo / "jobs.d/backup.yaml").write_text("mine\n")
    words = ["import", "crontab", "../crontab", "--into", "jobs.d"]
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    first, hint = err.splitlines()
    assert first.endswith("1 file would be overwritten: jobs.d/backup.yaml [file-exists]")
    assert "--force" in hint
    assert (repo / "jobs.d/backup.yaml").read_text() == "mine\n"
    assert not (repo / "jobs.d/warm.yaml").exists()
    assert main([*words, "--dry-run"]) == 0
    assert "# jobs.d/backup.yaml\n" in capsys.readouterr().out
    assert main([*words, "--force"]) == 0
    assert "replaced jobs.d/backup.yaml" in capsys.readouterr().out
    assert main(["validate"]) == 0


def test_a_yml_of_the_name_is_the_file_in_the_way(repo: Path) -> None:
    (repo / "jobs.d/backup.yml").write_text("mine\n")
    assert main(["import", "kubernetes", "../kubernetes", "--into", "jobs.d"]) == 1
    assert main(["import", "kubernetes", "../kubernetes", "--into", "jobs.d", "--force"]) == 0
    assert not (repo / "jobs.d/backup.yaml").exists()
    assert main(["validate"]) == 0


def test_a_link_is_replaced_and_never_followed(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "far").write_text("mine\n")
    (repo / "jobs.d/backup.yaml").symlink_to(tmp_path / "far")
    assert main(["import", "kubernetes", "../kubernetes", "--into", "jobs.d"]) == 1
    assert main(["import", "kubernetes", "../kubernetes", "--into", "jobs.d", "--force"]) == 0
    assert (tmp_path / "far").read_text() == "mine\n"
    assert not (repo / "jobs.d/backup.yaml").is_symlink()


def test_a_dry_run_writes_nothing_and_prints_the_files(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "crontab", "../crontab", "--into", "jobs.d/new", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert not (repo / "jobs.d/new").exists()
    first, second = out.split("---\n")
    assert first.startswith("# jobs.d/new/backup.yaml\n# From crontab, line 2: ")
    assert "schedule: manual\n" in second
    assert "../crontab:3:1: needed: " in err
    assert err.splitlines()[-1].startswith("2 jobs, 1 suspended: ")


@pytest.mark.parametrize("dry", [True, False])
def test_json_has_files_and_notes(dry: bool, repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["import", "ofelia", "../ofelia", "--into", "jobs.d/web", "-o", "json", *(["--dry-run"] if dry else [])])
        == 0
    )
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert err == ""
    assert [(row["job"], row["path"], row["suspended"]) for row in said["files"]] == [
        ("web/flush", "jobs.d/web/flush.yaml", True), ("web/r", "jobs.d/web/r.yaml", True),
    ]  # fmt: skip
    assert all(("text" in row) is dry and row["state"] == ("planned" if dry else "created") for row in said["files"])
    assert (repo / "jobs.d/web").exists() is not dry
    refused = next(row for row in said["notes"] if row["code"] == "refused-part")
    assert refused.keys() == {"path", "line", "column", "kind", "code", "message", "hint", "job"}
    assert (refused["path"], refused["line"], refused["kind"], refused["job"]) == ("../ofelia", 8, "needed", "web/r")


def test_standard_input_and_several_files(repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Stdin:
        buffer = io.BytesIO(CRONJOB.encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    (tmp_path / "more").write_text(CRONJOB.replace("30 2", "40 2"))
    assert main(["import", "kubernetes", "-", "../more", "--into", "jobs.d"]) == 0
    assert "From stdin, line 1" in (repo / "jobs.d/backup.yaml").read_text()
    assert "40 2 * * *" in (repo / "jobs.d/backup-2.yaml").read_text()


def test_the_service_file_in_force_decides(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text("policy: {binds: [/etc]}\n")
    words = ["import", "ofelia", "../ofelia", "--into", "jobs.d", "--config", str(tmp_path / "service.yaml")]
    assert main(words) == 0
    assert "volumes: [{type: bind, source: /etc, target: /etc}]" in (repo / "jobs.d/r.yaml").read_text()


def test_the_defaults_of_the_folder_count(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What clashes with them cannot be valid here, so it is told and not written."""
    (repo / "jobs.d/web").mkdir()
    (repo / "jobs.d/web/_defaults.yaml").write_text("files: {/x: {content: a}}\nuser: app\n")
    text = "image: 'a:1', labels: {schedule: '@daily'}"
    text = f"services: {{a: {{{text}, tmpfs: /x}}, b: {{{text}}}}}\n"
    (repo / "c.yaml").write_text(text)
    assert main(["import", "compose", "c.yaml", "--into", "jobs.d/web"]) == 1
    assert "web/a is left out: something else is mounted at /x already" in capsys.readouterr().out
    assert [path.name for path in sorted((repo / "jobs.d/web").iterdir())] == ["_defaults.yaml", "b.yaml"]
    assert main(["validate"]) == 0


BAD = [
    (["import"], 2, "usage"),
    (["import", "quartz", "x", "--into", "jobs.d"], 2, "usage"),
    (["import", "crontab", "../crontab"], 2, "usage"),
    (["import", "crontab", "../crontab", "--into", "jobs.d", "--timezone", "Mars"], 2, "usage"),
    (["import", "crontab", "../crontab", "--into", "jobs.d", "--image", "Not One"], 2, "usage"),
    (["import", "crontab", "nosuch", "--into", "jobs.d"], 1, "io-error"),
    (["import", "crontab", ".", "--into", "jobs.d"], 1, "io-error"),
    (["import", "crontab", "../crontab", "--into", "jobs.d/Team A"], 2, "usage"),
    (["import", "crontab", "../crontab", "--into", "README.md"], 1, "io-error"),
    (["import", "crontab", "../crontab", "--into", "jobs.d", "--config", "nosuch"], 2, "config-missing"),
]


@pytest.mark.parametrize(("words", "exit_code", "code"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_command_lines(
    words: list[str], exit_code: int, code: str, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == exit_code
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("reconciler: ")]
    assert len(err) == 1 and err[0].endswith(f"[{code}]")


PARTLY = [("kubernetes", "kind: Service\n"), ("kubernetes", CRONJOB + "---\na: [\n"), ("crontab", "what\n@daily x\n"),
          ("crontab", ""), ("compose", "services: {web: {image: nginx}}\n")]  # fmt: skip


@pytest.mark.parametrize(("format", "text"), PARTLY)
def test_a_file_that_gave_no_job_or_a_part_exits_1(format: str, text: str, repo: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_text(text)
    assert main(["import", format, "../in", "--into", "jobs.d"]) == 1
    assert main(["validate"]) == 0


def test_terminals_see_nothing_but_text(repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").write_text(
        'kind: CronJob\nmetadata: {name: "a\\e[31mb"}\nspec: {"x\\e[31m": 1, schedule: "\\e[2J"}\n'
    )
    assert main(["import", "kubernetes", "../in", "--into", "jobs.d"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\x1b" not in "".join(path.read_text() for path in (repo / "jobs.d").glob("*.yaml"))


def test_other_commands_do_not_load_the_importers() -> None:
    script = "import sys; from reconciler.cli.main import main; main(['version']); print('reconciler.importers' in "
    script += "sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "False"

"""Promise: installed is exactly what was locked, from any index; what is shipped is whole; the examples work."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tests.lab.systemd_box import build_wheel

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.txt", "requirements-build.txt", "requirements-dev.txt")
PIN = re.compile(r"(?P<name>[a-z0-9.-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))? \\")
EXAMPLES = sorted(p for p in (ROOT / "jobs.d").rglob("*.yaml") if p.name != "_defaults.yaml")
# Written in pieces, so that this file does not find itself.
ADDRESSES = re.compile(
    "|".join(
        (r"--(?:extra-)?index-" "url", "--find-" "links", r"://[^\s/]*py" r"pi", r"://[^\s/]*python" "hosted",
         r"://[^\s/]+/simp" r"le\b", r"://registry\.np" "mjs", r"://deb\.deb" "ian", r"://proxy\.gol" "ang")
    )
)  # fmt: skip


def pins(lock: str) -> dict[str, Version]:
    lines = (ROOT / lock).read_text().splitlines()
    return {m["name"]: Version(m["version"]) for m in map(PIN.match, lines) if m}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def repository_files() -> list[Path]:
    """Everything that a commit would hold."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, timeout=30,
    ).stdout  # fmt: skip
    return [ROOT / name.decode() for name in listing.split(b"\0") if name and (ROOT / name.decode()).is_file()]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_pin_or_a_hash(lock: str) -> None:
    head, *lines = (ROOT / lock).read_text().splitlines()
    assert head == "# Made by scripts/lock from pyproject.toml; do not edit."
    hashed = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
    assert [line for line in lines if not PIN.fullmatch(line) and not hashed.fullmatch(line)] == []
    assert pins(lock)


def test_a_lock_holds_what_the_smaller_one_holds_at_the_same_versions() -> None:
    runtime, build, everything = (pins(lock) for lock in LOCKS)
    assert runtime.items() <= build.items() <= everything.items()


def test_the_locks_satisfy_what_the_project_asks_for() -> None:
    settings = project()
    groups = settings["dependency-groups"]
    wanted = {
        "requirements.txt": settings["project"]["dependencies"],
        "requirements-build.txt": groups["build"],
        "requirements-dev.txt": [line for line in groups["dev"] if isinstance(line, str)],
    }
    for lock, lines in wanted.items():
        have = pins(lock)
        for requirement in map(Requirement, lines):
            assert have[requirement.name] in requirement.specifier, f"{lock}: run scripts/lock for {requirement}"


def test_no_file_of_the_repository_says_where_packages_come_from() -> None:
    found = []
    for path in repository_files():
        assert path.name not in {"uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock"}, path
        if path.name == "lock" and path.parent.name == "scripts":
            continue  # the tool that leaves addresses out has to name the flag that does so
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in ADDRESSES.finditer(text)]
    assert found == []


def test_the_wheel_carries_schemas_supervisor_and_unit(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in ("spec/schemas/job.schema.json", "spec/schemas/service.schema.json", "engine/supervisor.sh"):
        assert f"reconciler/{name}" in names
    shared = {name.partition("/data/")[2] for name in names if "/data/" in name}
    assert {f"share/reconciler/systemd/{p.name}" for p in (ROOT / "systemd").iterdir()} <= shared
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "jobs.d/"))]


def test_the_schemas_are_read_from_the_wheel_too(tmp_path: Path) -> None:
    folder = tmp_path / "installed"
    with zipfile.ZipFile(build_wheel(tmp_path)) as archive:
        archive.extractall(folder)
    read = "import reconciler.spec.schemas as s; print(s.__file__); print(s.schema_text('job'))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", read], env={**os.environ, "PYTHONPATH": str(folder)}, cwd=tmp_path,
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    place, _, text = done.stdout.partition("\n")
    assert place.startswith(str(folder))
    assert json.loads(text) == json.loads((ROOT / "schemas/job.schema.json").read_text())


def test_the_source_distribution_can_build_the_wheel_again(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (archive,) = tmp_path.glob("*.tar.gz")
    subprocess.run(["tar", "-C", tmp_path, "-xzf", archive], check=True, timeout=30)
    (unpacked,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=unpacked, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert list((unpacked / "dist").glob("*.whl"))


@pytest.fixture
def bare_checkout(tmp_path: Path) -> Path:
    """What `scripts/setup` needs, with no .venv."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup", tmp_path / "scripts")
    for name in (*LOCKS, "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


NO_PYTHON = ""
OLD_PYTHON = 'case "$2" in *platform*) echo 3.9.18 ;; *) exit 1 ;; esac'
NO_VENV = 'case "$2" in *platform*) echo 3.12.1 ;; *ensurepip*) exit 1 ;; esac'


@pytest.mark.parametrize(
    ("python", "said"),
    [
        pytest.param(OLD_PYTHON, "Python 3.11 or later is needed, and ", id="a Python that is too old"),
        pytest.param(NO_VENV, "apt install python3-venv", id="a Debian Python without venv"),
        pytest.param(NO_PYTHON, "Python 3.11 or later is needed (apt install ", id="no Python at all"),
    ],
)
def test_setup_says_what_is_missing_and_how_to_get_it(bare_checkout: Path, python: str, said: str) -> None:
    program = bare_checkout / "python-here"
    if python:
        program.write_text(f"#!/bin/sh\n{python}\n")
        program.chmod(0o755)
    done = subprocess.run(
        [bare_checkout / "scripts/setup", "run"], env={"PATH": os.environ["PATH"], "PYTHON": str(program)},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("setup: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (bare_checkout / ".venv").exists()


def test_the_examples_use_one_image_and_no_network() -> None:
    defaults = yaml.safe_load((ROOT / "jobs.d/_defaults.yaml").read_text())
    assert defaults["networks"] == ["none"]
    assert f"name=${{1:-{defaults['image']}}}" in (ROOT / "scripts/example-image").read_text()
    assert len(EXAMPLES) >= 5
    for path in EXAMPLES:
        assert not {"image", "networks"} & yaml.safe_load(path.read_text()).keys(), path


def _shells() -> list[list[str]]:
    busybox = shutil.which("busybox")
    return [["/bin/sh"], *([[busybox, "sh"]] if busybox else [])]


@pytest.mark.parametrize("shell", _shells(), ids=lambda argv: Path(argv[0]).name)
def test_the_examples_run_twice_on_plain_shells_and_do_what_they_say(shell: list[str], tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    if len(shell) == 2:  # what the example image has: busybox's applets and nothing else
        subprocess.run([shell[0], "--install", "-s", tools], check=True, timeout=30)
    environment = {
        "PATH": str(tools) if len(shell) == 2 else os.environ["PATH"],
        "TMPDIR": str(tmp_path),
        "RECONCILER_FILES": str(tmp_path / "files"),
        "RECONCILER_RUN_ID": "hello.20261124T020000Z.1",
    }
    (tmp_path / "files/app").mkdir(parents=True)
    shutil.copy(ROOT / "jobs.d/data/sales.awk", tmp_path / "files/app")
    # The order in which one needs what the other made.
    for hour in (1, 2):
        for name in ("hello", "data/etl-orders", "data/report-sales", "ml/train-churn", "ops/backup-warehouse"):
            job = yaml.safe_load((ROOT / f"jobs.d/{name}.yaml").read_text())
            slot = {"RECONCILER_SLOT": f"2026-11-24T0{hour}:00:00Z", **job.get("environment", {})}
            done = subprocess.run(
                [*shell, "-eu", "-c", job["script"]], env={**environment, **slot, "KEEP": "1"},
                cwd=tmp_path, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, f"{name}: {done.stderr}"
            assert done.stdout, name
    made = tmp_path / "reconciler-example"
    assert sorted(p.name for p in (made / "orders").iterdir()) == ["20261124T010000Z.csv", "20261124T020000Z.csv"]
    assert (made / "models/latest").read_text() == (made / "models/churn-20261124T020000Z.txt").read_text()
    kept = [p.name for p in (tmp_path / "reconciler-example-backups").iterdir()]
    assert kept == ["warehouse-20261124T020000Z.tar.gz"]


def test_ci_runs_make_test_with_every_tier_required() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert "export CI=true" in script
    assert script.rstrip().endswith("make --no-print-directory test")
    assert "bash .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()


def test_the_licence_is_the_one_that_the_package_names() -> None:
    assert project()["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()

"""The command line comes before the environment, that before the service file, that before the default."""

from pathlib import Path

import pytest

from reconciler.daemon.settings import Overrides, default_state_dir, from_environment, load, socket_path
from reconciler.model.errors import UsageError
from reconciler.model.service import ServiceConfig, SourceConfig
from tests.kit.nobody import needs_root, open_to_all, run_as_nobody

FILE = """
instance: db1
source: {url: /srv/file, ref: file-ref, paths: [file/jobs]}
engine: memory
state_dir: /srv/state-of-file
timezone: Europe/Berlin
"""
ENVIRONMENT = {
    "RECONCILER_SOURCE": "/srv/environment", "RECONCILER_REF": "environment-ref", "RECONCILER_PATH": "one:two",
    "RECONCILER_ENGINE": "process", "RECONCILER_STATE_DIR": "/srv/state-of-environment",
}  # fmt: skip
FLAGS = Overrides(source="/srv/flag", ref="flag-ref", paths=("flag",), engine="docker", state_dir="/srv/state-of-flag")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "service.yaml"
    path.write_text(FILE)
    return str(path)


def seen(config: ServiceConfig) -> tuple[str, str, tuple[str, ...], str, str]:
    return config.source.url, config.source.ref, config.source.paths, config.engine, config.state_dir


def test_the_file_comes_before_the_defaults(file: str) -> None:
    config, problems = load(Overrides(config=file), {})
    assert problems == ()
    assert seen(config) == ("/srv/file", "file-ref", ("file/jobs",), "memory", "/srv/state-of-file")
    assert config.instance == "db1"


def test_the_environment_comes_before_the_file(file: str) -> None:
    config, _ = load(Overrides(), {**ENVIRONMENT, "RECONCILER_CONFIG": file})
    assert seen(config) == ("/srv/environment", "environment-ref", ("one", "two"), "process",
                            "/srv/state-of-environment")  # fmt: skip
    assert config.timezone == "Europe/Berlin"


def test_the_command_line_comes_before_everything(file: str) -> None:
    config, _ = load(FLAGS, {**ENVIRONMENT, "RECONCILER_CONFIG": file})
    assert seen(config) == ("/srv/flag", "flag-ref", ("flag",), "docker", "/srv/state-of-flag")


def test_one_flag_leaves_the_rest_to_the_others(file: str) -> None:
    config, _ = load(Overrides(config=file, ref="v1"), {"RECONCILER_ENGINE": "process"})
    assert seen(config) == ("/srv/file", "v1", ("file/jobs",), "process", "/srv/state-of-file")


def test_an_empty_variable_says_nothing() -> None:
    assert from_environment(dict.fromkeys(ENVIRONMENT, "")) == Overrides()


def test_no_engine_is_chosen_where_nobody_names_one(tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text("instance: db1\n")
    assert load(Overrides(config=str(path)), {})[0].engine == ""


def test_a_relative_source_means_this_directory_and_not_the_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(Overrides(source="jobs"), {})[0].source.url == str(tmp_path / "jobs")
    for url in ("ssh://git@host/jobs.git", "git@host:jobs.git", "https://host/jobs.git"):
        assert load(Overrides(source=url), {})[0].source.url == url


@pytest.mark.parametrize(
    ("content", "code"), [(None, "config-missing"), (b"#" * (1 << 20) + b"#", "config-unreadable")]
)
def test_a_service_file_that_was_named_must_be_there_and_readable(
    content: bytes | None, code: str, tmp_path: Path
) -> None:
    path = tmp_path / "service.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load(Overrides(config=str(path)), {})
    assert caught.value.code == code


def test_a_directory_is_no_service_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(Overrides(config=str(tmp_path)), {})
    assert caught.value.code == "config-unreadable"


def test_a_service_file_with_errors_gives_problems_and_no_exception(tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text("instance: db1\nsauce: x\n")
    _, problems = load(Overrides(config=str(path)), {})
    assert [(p.line, p.is_error) for p in problems] == [(2, True)]


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="kubernetes") as caught:
        load(Overrides(engine="kubernetes"), {})
    assert caught.value.code == "engine-unknown"


@pytest.mark.parametrize(
    ("environ", "uid", "place"),
    [
        ({"HOME": "/home/anna"}, 1000, "/home/anna/.local/state/reconciler"),
        ({"HOME": "/home/anna", "XDG_STATE_HOME": "/x"}, 1000, "/x/reconciler"),
        ({"HOME": "/root"}, 0, "/var/lib/reconciler"),
        ({"STATE_DIRECTORY": "/var/lib/private/reconciler:/other"}, 1000, "/var/lib/private/reconciler"),
    ],
    ids=["a person's own", "where XDG says", "the system's for root", "what systemd gives"],
)
def test_the_default_state_directory(environ: dict[str, str], uid: int, place: str) -> None:
    assert default_state_dir(environ, uid) == place


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (ServiceConfig(state_dir="/var/lib/reconciler"), "/run/reconciler/reconciler.sock"),
        (ServiceConfig(state_dir="/srv/x"), "/srv/x/reconciler.sock"),
        (ServiceConfig(state_dir="/srv/x", runtime_dir="/run/x"), "/run/x/reconciler.sock"),
    ],
)
def test_where_the_socket_lies(config: ServiceConfig, path: str) -> None:
    assert str(socket_path(config)) == path


def test_the_default_source_is_the_directory_that_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config, _ = load(Overrides(), {"HOME": str(tmp_path)})
    assert config.source == SourceConfig(url=str(tmp_path))


@needs_root
def test_S1_who_may_not_read_the_systems_file_asks_the_systems_service(tmp_path: Path) -> None:
    """Members of an owner are no readers of the service file."""
    file = tmp_path / "reconciler.yaml"
    file.write_text(FILE)
    open_to_all(tmp_path)
    file.chmod(0o640)
    code = f"""
config, problems = load(Overrides(), {{}}, asking=True, system_file={str(file)!r})
print(config.state_dir, socket_path(config), problems)
try:
    load(Overrides(), {{}}, system_file={str(file)!r})
except UsageError as error:
    print(error.code)
"""
    imports = """
from reconciler.daemon.settings import Overrides, load, socket_path
from reconciler.model.errors import UsageError
"""
    assert run_as_nobody(imports, code).splitlines() == [
        "/var/lib/reconciler /run/reconciler/reconciler.sock ()", "config-unreadable",
    ]  # fmt: skip


def test_a_file_that_is_named_is_not_passed_over_by_whoever_asks(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(Overrides(config=str(tmp_path / "none")), {}, asking=True)
    assert caught.value.code == "config-missing"

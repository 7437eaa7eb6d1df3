"""What is known of the stores before a plan: names, or why one is of no use. A checkout without them is no fault."""

from pathlib import Path

import pytest

from reconciler.app.secrets import places, unlooked, with_secrets
from reconciler.model.secret import StoreConfig
from reconciler.model.service import ServiceConfig


@pytest.fixture
def store(tmp_path: Path) -> StoreConfig:
    path = tmp_path / "store"
    path.mkdir(mode=0o700)
    (path / "dsn").write_text("long enough")
    (path / "pin").write_text("1234")
    return StoreConfig("directory", str(path))


def test_a_look_finds_names_and_the_same_again_is_the_same_object(store: StoreConfig) -> None:
    config = with_secrets(ServiceConfig(secret_stores=(store, StoreConfig("age", "x", identity_file="/k"))))
    first, age = config.secret_stores
    assert (first.names, first.short, first.fault) == ({"dsn", "pin"}, {"pin"}, "")
    assert age.names is None, "its files come with the commit"
    assert with_secrets(config) is config
    (Path(store.path) / "new").write_text("long enough")
    assert "new" in (with_secrets(config).secret_stores[0].names or ())


def test_a_store_of_no_use_has_no_names_and_says_why_until_it_is_mended(store: StoreConfig) -> None:
    Path(store.path).chmod(0o755)
    config = with_secrets(ServiceConfig(secret_stores=(store,)))
    assert config.secret_stores[0].names == frozenset() and "has mode 0755" in config.secret_stores[0].fault
    Path(store.path).chmod(0o700)
    mended = with_secrets(config).secret_stores[0]
    assert mended.fault == "" and "dsn" in (mended.names or ())


def test_without_stores_nothing_is_looked_for() -> None:
    config = ServiceConfig()
    assert with_secrets(config) is config


def test_whoever_only_checks_files_takes_for_right_what_cannot_be_known_here(store: StoreConfig) -> None:
    assert "dsn" in (unlooked(ServiceConfig(secret_stores=(store,))).secret_stores[0].names or ())
    gone = StoreConfig("directory", "/not/there")
    assert [each.names for each in unlooked(ServiceConfig(secret_stores=(store, gone))).secret_stores] == [None, None]
    assert [each.names for each in unlooked(ServiceConfig()).secret_stores] == [None]


def test_runs_secrets_lie_beside_the_socket_or_in_shared_memory() -> None:
    config = ServiceConfig(runtime_dir="/run/reconciler")
    assert places(config, "0123456789abcdef0123") == (
        Path("/run/reconciler/secrets"), Path("/dev/shm/reconciler-0123456789abcdef"),
    )  # fmt: skip

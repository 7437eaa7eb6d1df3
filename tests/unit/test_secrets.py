"""Rule S3 on the host: values come from safe places only, lie in memory for one run alone, and show nowhere."""

import base64
import copy
import os
import pickle
import stat
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest

from reconciler.model.errors import ReconcilerError
from reconciler.model.job import JobSpec, SecretRef
from reconciler.model.run import Phase, RunRecord, Trigger
from reconciler.model.secret import MAX_BYTES, Secret, StoreConfig
from reconciler.model.service import Owner, Policy, ServiceConfig
from reconciler.model.workspace import NOTHING, Bind
from reconciler.workspace import memory_place
from reconciler.workspace.secrets import Reader, Secrets
from reconciler.workspace.stores import Directory, open_store
from tests.kit.orders import SLOT, make_spec

CANARY = b"c4n4ry-s3cr3t\n"
RUN_ID = "a.20261124T020000Z.1"


@pytest.fixture
def memory() -> Path:
    """A directory in memory, as on any Linux host."""
    path = Path("/dev/shm") / f"reconciler-test-{os.getpid()}-{os.urandom(4).hex()}"
    yield path
    assert not path.exists() or not list(path.iterdir()), "a run has left its secrets"
    if path.exists():
        path.rmdir()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "secrets"
    path.mkdir(mode=0o700)
    (path / "dsn").write_bytes(CANARY)
    return path


def run() -> RunRecord:
    return RunRecord(RUN_ID, "a", SLOT, 1, Trigger.SCHEDULE, "scheduler", "d", "r", Phase.PREPARING, SLOT)


def spec(*refs: SecretRef) -> JobSpec:
    return make_spec("a", secrets=refs)


def config(store: Path, **fields: object) -> ServiceConfig:
    return ServiceConfig(secret_stores=(StoreConfig("directory", str(store)),), **fields)  # type: ignore[arg-type]


FILE = SecretRef("dsn", "/run/secrets/dsn")


OWN = Reader()


def part(memory: Path, reader: Reader = OWN, environ: dict[str, str] | None = None) -> Secrets:
    return Secrets([memory], lambda _spec: reader, environ or {})


def test_a_value_has_neither_text_nor_copy() -> None:
    secret = Secret(CANARY)
    assert {str(secret), repr(secret), f"{secret:>8}", f"{[secret]}"} == {"<secret>", "[<secret>]"}
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(secret)
    assert not hasattr(secret, "__dict__") and secret.reveal() == CANARY


def test_a_file_is_in_memory_for_one_run_and_goes(memory: Path, store: Path) -> None:
    secrets = part(memory)
    made = secrets.make(run(), spec(FILE), config(store))
    (bind,) = made.binds
    assert bind == Bind(bind.source, "/run/secrets/dsn", read_only=True) and made.environment == ()
    path = Path(bind.source)
    assert path.read_bytes() == CANARY and stat.S_IMODE(path.stat().st_mode) == 0o400
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700 and path.parent == memory / RUN_ID
    assert memory_place.kind_of(path) == "tmpfs"
    assert [value.reveal() for value in secrets.values(RUN_ID)] == [CANARY]
    secrets.drop(RUN_ID)
    secrets.drop(RUN_ID)
    assert not path.parent.exists() and secrets.values(RUN_ID) == ()


def test_a_run_without_secrets_touches_nothing(memory: Path, store: Path) -> None:
    assert part(memory).make(run(), spec(), config(store)) is NOTHING and not memory.exists()


def test_a_file_belongs_to_the_reader(memory: Path, store: Path) -> None:
    secrets = part(memory, Reader(1234, 56, walks=True))
    (bind,) = secrets.make(run(), spec(FILE), config(store)).binds
    status, folder = Path(bind.source).stat(), Path(bind.source).parent.stat()
    assert (status.st_uid, status.st_gid) == (1234, 56)
    assert (folder.st_uid, folder.st_gid, stat.S_IMODE(folder.st_mode)) == (0, 56, 0o710)
    secrets.drop(RUN_ID)


def test_a_value_that_is_rotated_counts_when_the_run_is_made_ready_again(memory: Path, store: Path) -> None:
    secrets = part(memory)
    first = secrets.make(run(), spec(FILE), config(store))
    (store / "dsn").write_bytes(b"the next one")
    assert Path(first.binds[0].source).read_bytes() == CANARY
    assert secrets.make(run(), spec(FILE), config(store)) == first
    assert Path(first.binds[0].source).read_bytes() == b"the next one"
    secrets.drop(RUN_ID)


def test_one_secret_may_go_to_several_places(memory: Path, store: Path) -> None:
    secrets = part(memory)
    refs = (FILE, SecretRef("dsn", "/x", mode=0o444), SecretRef("dsn", "/y", mode=0o444), SecretRef("dsn", env="DSN"))
    made = secrets.make(run(), spec(*refs), config(store))
    assert [bind.target for bind in made.binds] == ["/run/secrets/dsn", "/x", "/y"]
    assert [stat.S_IMODE(Path(bind.source).stat().st_mode) for bind in made.binds] == [0o400, 0o444, 0o444]
    assert made.environment == (("DSN", "c4n4ry-s3cr3t"),)
    secrets.drop(RUN_ID)


def test_tidying_removes_what_no_open_run_has(memory: Path, store: Path) -> None:
    secrets = part(memory)
    secrets.tidy(())
    secrets.make(run(), spec(FILE), config(store))
    (memory / "gone.20261124T020000Z.1").mkdir()
    secrets.tidy({RUN_ID})
    assert [path.name for path in memory.iterdir()] == [RUN_ID]
    secrets.tidy(())
    assert not list(memory.iterdir())


def test_a_run_of_a_very_long_name_has_its_secrets_and_loses_them(memory: Path, store: Path) -> None:
    secrets, long = part(memory), f"{'/'.join(['a' * 63] * 5)}.20261124T020000Z.1".replace("/", ".")
    secrets.make(replace(run(), run_id=long), spec(FILE), config(store))
    secrets.tidy({long})
    assert [value.reveal() for value in secrets.values(long)] == [CANARY]
    secrets.drop(long)
    assert not list(memory.iterdir())


def refused(work: object) -> str:
    with pytest.raises(ReconcilerError) as caught:
        work()  # type: ignore[operator]
    assert "c4n4ry" not in str(caught.value) + caught.value.hint and caught.value.hint
    return caught.value.code


def test_S1_a_grant_that_was_taken_back_counts_at_once(memory: Path, store: Path) -> None:
    now = config(store, owners=(Owner("default", ("**",), Policy(secrets=("other",))),))
    assert refused(lambda: part(memory).make(run(), spec(FILE), now)) == "secret-forbidden"


def test_one_that_is_gone_says_so(memory: Path, store: Path) -> None:
    assert refused(lambda: part(memory).make(run(), spec(SecretRef("x", "/x")), config(store))) == "secret-gone"


def test_secrets_are_never_written_to_a_disk(tmp_path: Path, store: Path) -> None:
    disk = Path(__file__).resolve().parent
    assert memory_place.kind_of(disk / "not" / "there") not in memory_place.IN_MEMORY
    secrets = Secrets([disk / "never"], lambda _spec: Reader(), {})
    assert refused(lambda: secrets.make(run(), spec(FILE), config(store))) == "no-memory-place"
    assert not (disk / "never").exists()


def test_a_place_that_somebody_else_has_made_is_not_used(memory: Path, store: Path) -> None:
    memory.mkdir()
    os.chown(memory, 1234, 1234)
    assert refused(lambda: part(memory).make(run(), spec(FILE), config(store))) == "memory-place-unsafe"
    memory.rmdir()
    elsewhere = memory.with_name(f"{memory.name}-elsewhere")
    elsewhere.mkdir()
    memory.symlink_to(elsewhere)
    try:
        assert refused(lambda: part(memory).make(run(), spec(FILE), config(store))) == "memory-place-unsafe"
    finally:
        memory.unlink()
        elsewhere.rmdir()


# -- variables -------------------------------------------------------------------------------------------------------

TEXTS = {
    "a line break at the end": (b"x\n", "x"), "that of another system": (b"x\r\n", "x"),
    "one is left": (b"x\n\n", "x\n"),
    "nothing": (b"", ""), "not ASCII": ("gr\u00fcn".encode(), "gr\u00fcn"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "text"), TEXTS.values(), ids=TEXTS)
def test_a_variable_is_the_text_without_its_last_line_break(memory: Path, store: Path, value: bytes, text: str) -> None:
    (store / "dsn").write_bytes(value)
    secrets = part(memory)
    assert secrets.make(run(), spec(SecretRef("dsn", env="A")), config(store)).environment == (("A", text),)
    secrets.drop(RUN_ID)


@pytest.mark.parametrize(("value", "code"), [(b"c4n4ry\0", "secret-not-text"), (b"c4n4ry\xff", "secret-not-text"),
                                             (b"c4n4ry" * 40_000, "secret-too-large")])  # fmt: skip
def test_what_no_variable_can_hold_is_refused(memory: Path, store: Path, value: bytes, code: str) -> None:
    (store / "dsn").write_bytes(value)
    assert refused(lambda: part(memory).make(run(), spec(SecretRef("dsn", env="A")), config(store))) == code


# -- stores ----------------------------------------------------------------------------------------------------------


def test_a_directory_has_plain_files_with_plain_names(store: Path) -> None:
    (store / ".hidden").write_bytes(b"x")
    (store / "link").symlink_to(store / "dsn")
    (store / "folder").mkdir()
    os.mkfifo(store / "pipe")
    directory = Directory(str(store))
    assert directory.names().all == {"dsn"}
    for name in ("link", "folder", "pipe"):
        assert refused(lambda name=name: directory.read(name)) == "secret-store-unreadable"
    assert directory.read("none") is None


@pytest.mark.parametrize("mode", [0o710, 0o701, 0o770, 0o755])
def test_a_directory_that_others_may_enter_is_refused(store: Path, mode: int) -> None:
    store.chmod(mode)
    assert refused(Directory(str(store)).names) == "secret-store-unsafe"
    assert refused(lambda: Directory(str(store)).read("dsn")) == "secret-store-unsafe"


def test_a_directory_of_somebody_else_or_behind_a_link_is_refused(store: Path, tmp_path: Path) -> None:
    os.chown(store, 1234, 1234)
    assert refused(Directory(str(store)).names) == "secret-store-unsafe"
    (tmp_path / "link").symlink_to(store)
    assert refused(Directory(str(tmp_path / "link")).names) == "secret-store-unreadable"
    assert refused(Directory(str(tmp_path / "none")).names) == "secret-store-unreadable"


def test_a_value_is_bounded(store: Path) -> None:
    (store / "dsn").write_bytes(b"x" * MAX_BYTES)
    value = Directory(str(store)).read("dsn")
    assert value is not None and len(value.reveal()) == MAX_BYTES
    (store / "dsn").write_bytes(b"x" * (MAX_BYTES + 1))
    assert refused(lambda: Directory(str(store)).read("dsn")) == "secret-too-large"


def test_variables_of_the_service_are_a_store() -> None:
    environ = {"S_ORDERS_DSN": "x", "S_": "y", "HOME": "/"}
    store = open_store(StoreConfig("environment", prefix="S_"), environ)
    assert store.names() == ({"ORDERS_DSN"}, {"ORDERS_DSN"})
    value = store.read("orders-dsn")
    assert value is not None and value.reveal() == b"x" and store.read("home") is None


def test_credentials_are_what_systemd_has_handed_over(store: Path) -> None:
    credentials = open_store(StoreConfig("credentials"), {"CREDENTIALS_DIRECTORY": str(store)})
    assert credentials.names() == ({"dsn"}, frozenset())
    nothing = open_store(StoreConfig("credentials"), {})
    assert nothing.names() == (frozenset(), frozenset()) and nothing.read("dsn") is None


def test_the_next_store_is_asked_when_one_is_broken_or_lacks_it(memory: Path, store: Path, tmp_path: Path) -> None:
    stores = (StoreConfig("directory", str(tmp_path / "none")), StoreConfig("environment", prefix="S_"))
    secrets = part(memory, environ={"S_DSN": "from the environment"})
    now = ServiceConfig(secret_stores=(*stores, StoreConfig("directory", str(store))))
    (bind,) = secrets.make(run(), spec(FILE), now).binds
    assert Path(bind.source).read_bytes() == b"from the environment"
    secrets.drop(RUN_ID)
    secrets = part(memory)
    assert refused(lambda: secrets.make(run(), spec(FILE), ServiceConfig(secret_stores=stores))) == (
        "secret-store-unreadable"
    )


# -- age -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def identity(tmp_path: Path) -> pyrage.x25519.Identity:
    made = pyrage.x25519.Identity.generate()
    path = tmp_path / "age.key"
    path.write_text(f"# created: today\n# public key: {made.to_public()}\n{made}\n")
    path.chmod(0o400)
    return made


def sealed_for(identity: pyrage.x25519.Identity, value: bytes = CANARY, armored: bool = False) -> SecretRef:
    data = pyrage.encrypt(value, [identity.to_public()])
    if armored:
        text = base64.b64encode(data).decode()
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        data = "\n".join(("-----BEGIN AGE ENCRYPTED FILE-----", *lines, "-----END AGE ENCRYPTED FILE-----\n")).encode()
    return SecretRef("dsn", "/run/secrets/dsn", sealed=base64.b64encode(data).decode())


def age(tmp_path: Path) -> ServiceConfig:
    return ServiceConfig(secret_stores=(StoreConfig("age", "s", identity_file=str(tmp_path / "age.key")),))


@pytest.mark.parametrize("armored", [False, True])
def test_an_encrypted_file_is_opened_with_the_services_identity(
    memory: Path, tmp_path: Path, identity: pyrage.x25519.Identity, armored: bool
) -> None:
    secrets = part(memory)
    (bind,) = secrets.make(run(), spec(sealed_for(identity, armored=armored)), age(tmp_path)).binds
    assert Path(bind.source).read_bytes() == CANARY
    secrets.drop(RUN_ID)


def test_a_file_for_somebody_else_or_damaged_is_refused(
    memory: Path, tmp_path: Path, identity: pyrage.x25519.Identity
) -> None:
    other = sealed_for(pyrage.x25519.Identity.generate())
    assert refused(lambda: part(memory).make(run(), spec(other), age(tmp_path))) == "secret-sealed"
    damaged = replace(sealed_for(identity), sealed=base64.b64encode(b"age-encryption.org/v1\nx").decode())
    assert refused(lambda: part(memory).make(run(), spec(damaged), age(tmp_path))) == "secret-sealed"


def test_an_identity_that_others_may_read_or_that_is_none_is_refused(
    memory: Path, tmp_path: Path, identity: pyrage.x25519.Identity
) -> None:
    secrets, ref = part(memory), sealed_for(identity)
    (tmp_path / "age.key").chmod(0o440)
    assert refused(lambda: secrets.make(run(), spec(ref), age(tmp_path))) == "secret-store-unsafe"
    (tmp_path / "age.key").chmod(0o600)
    (tmp_path / "age.key").write_text("c4n4ry\n")
    assert refused(lambda: secrets.make(run(), spec(ref), age(tmp_path))) == "identity-invalid"
    (tmp_path / "age.key").unlink()
    assert refused(lambda: secrets.make(run(), spec(ref), age(tmp_path))) == "secret-store-unreadable"

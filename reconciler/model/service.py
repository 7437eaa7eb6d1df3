"""The service file, parsed: everything outside the repository that rules over it (rules S1, S2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .job import Resources
from .secret import StoreConfig

DEFAULT_OWNER = "default"
DEFAULT_STATE_DIR = "/var/lib/reconciler"

# Capabilities that policy may grant at all: what images of databases and mailers are known to need.
GRANTABLE_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP",
     "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", "SYS_NICE", "IPC_LOCK"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """Where the jobs come from. `paths` are jobs directories inside the repository; "" is its root."""

    url: str = "."
    ref: str = "HEAD"
    paths: tuple[str, ...] = ("jobs.d",)
    poll_interval: float = 60.0  # seconds; remote repositories only, jittered
    require_signed: str = "none"  # or "head", "range": which commits must be signed by one of `people`


@dataclass(frozen=True, slots=True)
class Credential:
    """A deploy key or token for every URL that matches the glob `url`."""

    url: str
    key_file: str = ""
    token_file: str = ""
    username: str = ""


@dataclass(frozen=True, slots=True)
class GitConfig:
    known_hosts: str = ""
    deploy_keys: tuple[Credential, ...] = ()
    tokens: tuple[Credential, ...] = ()
    timeout: float = 120.0  # seconds for one fetch


@dataclass(frozen=True, slots=True)
class Registry:
    username: str
    password_file: str


@dataclass(frozen=True, slots=True)
class Policy:
    """What job files may ask for. None = not restricted; an empty tuple = nothing."""

    images: tuple[str, ...] | None = None  # globs on the reference as written or normalised
    binds: tuple[str, ...] = ()  # host paths; a bind must be at or below one of them
    networks: tuple[str, ...] = ()  # foreign networks by exact name, beside "default" and "none"
    capabilities: tuple[str, ...] = ()
    external_volumes: tuple[str, ...] = ()
    min_interval: float | None = None  # seconds between two slots
    max_resources: Resources | None = None  # ceiling of each limit; a job without one is then refused
    gpus: bool = False  # whole GPUs of the host
    packages: tuple[str, ...] | None = None  # managers that jobs may install with
    secrets: tuple[str, ...] | None = None  # globs of names; see `spec.admission.may_have_secret`
    secrets_in_env: bool = False  # whether a secret may be a variable, which `docker inspect` shows
    push: tuple[str, ...] = ()  # globs of the names that members may give to built images; see `spec.naming`
    repositories: tuple[str, ...] | None = None  # globs on the URL of code; None = any over https and ssh
    exec_in: tuple[str, ...] = ()  # globs of the names of containers that jobs may run in


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom `owners.*.members` may name. `unix`: the user account on this host; "" = none. `signing_key`: SSH
    public keys that have been checked, each `TYPE BASE64`."""

    name: str
    unix: str = ""
    email: str = ""
    signing_key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Total:
    """What all jobs of one owner may have together. None = not limited. `jobs`: that exist; the others: of runs at
    once, by their own limits (cores, bytes, devices)."""

    jobs: int | None = None
    running: int | None = None
    cpus: float | None = None
    memory: int | None = None
    gpus: int | None = None


NO_TOTAL = Total()


@dataclass(frozen=True, slots=True)
class Owner:
    """A team: the paths that are its own, who belongs to it, and what it is granted within the global policy."""

    name: str
    paths: tuple[str, ...] = ("**",)
    policy: Policy | None = None  # None = the global policy alone
    members: tuple[str, ...] = ()  # names of people
    total: Total = NO_TOTAL
    deploy_keys: tuple[Credential, ...] = ()  # for the code of its own jobs
    tokens: tuple[Credential, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    max_running: int | None = None  # None = no limit of ours
    queue_timeout: float = 3600.0  # how long a claimed run may wait for a place, seconds
    max_retired_share: float = 0.3
    prepare_timeout: float = 1800.0  # seconds for pull and create together
    run_log_bytes: int = 8 * 1024 * 1024  # kept per run: the first eighth and the end
    default_timeout: float = 86400.0
    outputs_bytes: int = 1 << 30  # kept of each run
    outputs_entries: int = 10_000  # files and directories kept of each run
    groups: Mapping[str, int] = field(default_factory=dict)  # of all owners: `concurrency_group` -> runs at once
    code_bytes: int = 20 << 30  # of all mirrors and exported trees together
    repository_bytes: int = 2 << 30  # of one fetch, and of one checkout
    checkout_bytes: int = 20 << 30  # to which one run's checkouts may grow; 0 = without bound
    dev_timeout: float = 8 * 3600.0  # seconds that a shell of `reconciler dev` may stay open


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """Devices of the host that runs may lease, by id. None = not named, and not looked for yet."""

    gpus: tuple[str, ...] | None = None

    @property
    def gpu_count(self) -> int | None:
        return None if self.gpus is None else len(self.gpus)


@dataclass(frozen=True, slots=True)
class PackageConfig:
    """How packages are installed: its own variables, and how long an image stays that no job uses."""

    environment: Mapping[str, str] = field(default_factory=dict)
    keep_unused: float = 7 * 86400.0  # seconds


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    instance: str = "local"
    source: SourceConfig = SourceConfig()
    git: GitConfig = GitConfig()
    engine: str = ""  # docker | process | memory | auto; "" = not said: the recorded one, docker at first
    docker_host: str = ""  # "" = DOCKER_HOST, else the local socket
    engine_paths: str = ""  # shared | separate: are this host's paths the Engine's? "" = at a unix socket they are
    process_user: str = "nobody"  # who jobs run as on `process` when the service is root
    timezone: str = "UTC"
    state_dir: str = DEFAULT_STATE_DIR
    runtime_dir: str = ""  # socket; "" = below state_dir
    registries: Mapping[str, Registry] = field(default_factory=dict)
    sizes: Mapping[str, Resources] = field(default_factory=dict)
    limits: Limits = Limits()
    policy: Policy = Policy()
    people: tuple[Person, ...] = ()
    owners: tuple[Owner, ...] = ()
    on_invalid: str = "hold"  # or "reject"
    devices: DeviceConfig = DeviceConfig()
    packages: PackageConfig = PackageConfig()
    secret_stores: tuple[StoreConfig, ...] = ()  # in the order they are searched
    allow_rewrite: bool = False  # True for local work repositories: a rewritten history only warns (rule D5)

    @property
    def has_accounts(self) -> bool:
        """May anybody ask the service who is no administrator? Others are named for their keys or e-mails alone."""
        return any(person.unix for person in self.people)

    @property
    def totals(self) -> Mapping[str, Total]:
        """By owner; only of those that have any."""
        return {owner.name: owner.total for owner in self.owners if owner.total != NO_TOTAL}

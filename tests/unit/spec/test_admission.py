"""Promise: rule S1. A push never gives more power than the service file; refusals name the field and the reason."""

from dataclasses import replace

import pytest

from reconciler.model.job import CodeRepository, JobSpec, Mount, Resources, Schedule, ScheduleKind
from reconciler.model.service import Owner, Policy, ServiceConfig
from reconciler.spec.admission import admit, effective_policy, owner_of

MANUAL = Schedule(ScheduleKind.MANUAL)
PLAIN = JobSpec("a", "default", MANUAL, "busybox:1.36")
NO_POLICY = ServiceConfig()


def codes(config: ServiceConfig, **fields: object) -> list[tuple[str, str]]:
    return [(v.pointer, v.code) for v in admit(replace(PLAIN, **fields), config)]  # type: ignore[arg-type]


def bind(source: str) -> tuple[Mount, ...]:
    return (Mount("bind", source, "/x"),)


def code(*urls: str) -> tuple[CodeRepository, ...]:
    return tuple(CodeRepository(url, f"/code/{number}") for number, url in enumerate(urls))


ALLOWED_WITHOUT_POLICY = {
    "any image": {"image": "registry.example.org/x/y:1"},
    "named volumes": {"mounts": (Mount("volume", "a", "/a"),)},
    "a tmpfs": {"mounts": (Mount("tmpfs", "", "/a"),)},
    "the owner's own bridge": {"networks": ("default",)},
    "no network": {"networks": ("none",)},
    "code over https": {"repositories": code("https://git.example.org/c")},
    "code over ssh": {"repositories": code("git@git.example.org:c.git")},
    "any interval": {"schedule": Schedule(ScheduleKind.EVERY, "@every 1s", every=1.0)},
}


@pytest.mark.parametrize("fields", ALLOWED_WITHOUT_POLICY.values(), ids=ALLOWED_WITHOUT_POLICY)
def test_S1_without_a_policy_allows(fields: dict[str, object]) -> None:
    assert codes(NO_POLICY, **fields) == []


REFUSED_WITHOUT_POLICY = {
    "a bind": ({"mounts": bind("/srv")}, "/volumes/0", "bind-not-allowed"),
    "a foreign network": ({"networks": ("shop",)}, "/networks", "network-not-allowed"),
    "the host's network": ({"networks": ("host",)}, "/networks", "network-not-allowed"),
    "an external volume": (
        {"mounts": (Mount("volume", "a", "/a", external=True),)},
        "/volumes/0",
        "volume-not-allowed",
    ),
    "a capability": ({"cap_add": ("CHOWN",)}, "/cap_add", "capability-not-allowed"),
    "a GPU": ({"resources": Resources(gpus=1)}, "/resources/gpus", "gpus-not-allowed"),
    "code from a path of the host": (
        {"repositories": code("/srv/c.git")},
        "/repositories/0/url",
        "repository-not-allowed",
    ),
    "code from the host's own http": (
        {"repositories": code("http://127.0.0.1:8080/c")},
        "/repositories/0/url",
        "repository-not-allowed",
    ),
    "SYS_ADMIN": ({"cap_add": ("SYS_ADMIN",)}, "/cap_add", "capability-not-allowed"),
}


@pytest.mark.parametrize(("fields", "pointer", "code"), REFUSED_WITHOUT_POLICY.values(), ids=REFUSED_WITHOUT_POLICY)
def test_S1_without_a_policy_refuses(fields: dict[str, object], pointer: str, code: str) -> None:
    assert codes(NO_POLICY, **fields) == [(pointer, code)]


OPEN = Policy(
    binds=("/", "/srv/data", "/srv/reports/"),
    networks=("shop", "host"),
    capabilities=("CHOWN", "SYS_ADMIN"),
    external_volumes=("backup",),
)
SRV = ServiceConfig(policy=replace(OPEN, binds=("/srv/data", "/srv/reports/")))

BINDS = {
    "the root itself": ("/srv/data", True),
    "below it": ("/srv/data/a/b", True),
    "below a root with a slash at its end": ("/srv/reports/a", True),
    "a name that only begins alike": ("/srv/data-evil", False),
    "above it": ("/srv", False),
    "a path that climbs out": ("/srv/data/../../etc", False),
    "a path that stands still": ("/srv/data/./a", False),
    "an empty part": ("/srv/data//a", False),
    "a relative path": ("srv/data", False),
    "elsewhere": ("/etc", False),
}


@pytest.mark.parametrize(("source", "allowed"), BINDS.values(), ids=BINDS)
def test_S1_a_bind_must_be_at_or_below_an_allowed_root(source: str, allowed: bool) -> None:
    assert codes(SRV, mounts=bind(source)) == ([] if allowed else [("/volumes/0", "bind-not-allowed")])


ROOT = ServiceConfig(policy=OPEN, state_dir="/data/state", runtime_dir="/data/run", docker_host="unix:///opt/d.sock")


@pytest.mark.parametrize(
    "source",
    ["/", "/var/run/docker.sock", "/run/docker.sock", "/run", "/var/run", "/var/lib/docker/volumes", "/var/lib",
     "/data/state", "/data/state/reconciler.db", "/data", "/data/run", "/opt/d.sock", "/opt", "/proc", "/sys/fs",
     "/dev"],
)  # fmt: skip
def test_S1_no_policy_can_grant_the_engine_the_host_or_the_state(source: str) -> None:
    assert codes(ROOT, mounts=bind(source)) == [("/volumes/0", "bind-not-allowed")]


def test_S1_grants() -> None:
    assert codes(SRV, networks=("shop", "default"), cap_add=("CHOWN",)) == []
    assert codes(SRV, mounts=(Mount("volume", "backup", "/b", external=True),)) == []
    assert codes(SRV, mounts=(Mount("volume", "backup2", "/b", external=True),)) == [
        ("/volumes/0", "volume-not-allowed")
    ]


def test_S1_what_is_never_granted_stays_so_even_if_the_policy_lists_it() -> None:
    assert codes(SRV, networks=("host",)) == [("/networks", "network-not-allowed")]
    assert codes(SRV, cap_add=("SYS_ADMIN",)) == [("/cap_add", "capability-not-allowed")]


def test_S1_a_hint_offers_no_network_that_is_never_granted() -> None:
    open_to_all = ServiceConfig(policy=Policy(networks=("bridge", "host", "shop")))
    for name in ("bridge", "host", "other"):
        (violation,) = admit(replace(PLAIN, networks=(name,)), open_to_all)
        assert violation.hint == "Allowed: default, none, shop"


IMAGES = ("registry.example.org/**", "postgres:*", "docker.io/library/redis:7", "team/*:1")
IMAGE = {
    "below a registry": ("registry.example.org/a/b/c:1", True),
    "a tag of a Hub image": ("postgres:17", True),
    "the same, written in full": ("docker.io/library/postgres:17", True),
    "no tag means latest": ("postgres", True),
    "a full pattern, a short image": ("redis:7", True),
    "another tag": ("redis:8", False),
    "one part under a star": ("team/app:1", True),
    "two parts under a star": ("team/app/x:1", False),
    "a registry that only looks alike": ("registry.example.org.evil.net/a:1", False),
    "the registry's name as a Hub user": ("evil/registry.example.org/a:1", False),
    "a name on another registry": ("evil.net/postgres:17", False),
    "on localhost": ("localhost/postgres:17", False),
    "a digest where only tags are listed": ("redis@sha256:" + "a" * 64, False),
    "an image id": ("a" * 64, False),
}


@pytest.mark.parametrize(("image", "allowed"), IMAGE.values(), ids=IMAGE)
def test_S1_images_by_glob(image: str, allowed: bool) -> None:
    config = ServiceConfig(policy=Policy(images=IMAGES))
    assert codes(config, image=image) == ([] if allowed else [("/image", "image-not-allowed")])


def test_S1_an_empty_list_of_images_allows_none() -> None:
    assert codes(ServiceConfig(policy=Policy(images=()))) == [("/image", "image-not-allowed")]


INTERVALS = {
    "a cron line of every minute": (Schedule(ScheduleKind.CRON, "* * * * *"), 60.0, True),
    "a cron line that is often enough": (Schedule(ScheduleKind.CRON, "*/5 * * * *"), 600.0, False),
    "a cron line with two close times": (Schedule(ScheduleKind.CRON, "0,1 3 * * *"), 120.0, False),
    "seconds": (Schedule(ScheduleKind.CRON, "*/10 * * * * *"), 60.0, False),
    "an interval at the bound": (Schedule(ScheduleKind.EVERY, "@every 1m", every=60.0), 60.0, True),
    "an interval below it": (Schedule(ScheduleKind.EVERY, "@every 59s", every=59.0), 60.0, False),
    "by hand": (MANUAL, 60.0, True),
}


@pytest.mark.parametrize(("schedule", "shortest", "allowed"), INTERVALS.values(), ids=INTERVALS)
def test_S1_the_shortest_interval(schedule: Schedule, shortest: float, allowed: bool) -> None:
    config = ServiceConfig(policy=Policy(min_interval=shortest))
    assert codes(config, schedule=schedule) == ([] if allowed else [("/schedule", "interval-too-short")])


def test_S1_ceilings_of_resources() -> None:
    config = ServiceConfig(policy=Policy(max_resources=Resources(cpus=2.0, memory=1 << 30, pids_limit=600)))
    assert codes(config, resources=Resources(2.0, 1 << 30)) == []
    assert codes(config) == [("/resources/cpus", "limit-missing"), ("/resources/memory", "limit-missing")]
    assert codes(config, resources=Resources(3.0, 2 << 30, 601)) == [
        ("/resources/cpus", "limit-exceeded"),
        ("/resources/memory", "limit-exceeded"),
        ("/resources/pids_limit", "limit-exceeded"),
    ]


# -- owners ----------------------------------------------------------------------------------------------------


def test_S1_the_first_owner_with_a_matching_path_has_the_job() -> None:
    config = ServiceConfig(owners=(Owner("a", ("ml/**", "x")), Owner("b", ("*", "ml/*"))))
    assert [owner_of(config, name) for name in ("ml/a", "ml/a/b", "x", "y", "web/y")] == ["a", "a", "a", "b", None]
    assert owner_of(NO_POLICY, "anything/at/all") == "default"


def test_S1_a_pattern_of_paths_is_not_a_prefix() -> None:
    config = ServiceConfig(owners=(Owner("a", ("ml/**",)),))
    assert owner_of(config, "ml") is None
    assert owner_of(config, "mlops/x") is None
    assert owner_of(config, "web/ml/x") is None


TOP = Policy(
    images=("registry.example.org/**",), binds=("/srv",), networks=("shop", "bus"), capabilities=("CHOWN", "KILL"),
    external_volumes=("v1", "v2"), min_interval=60.0, max_resources=Resources(8.0, 64 << 30, 4096),
)  # fmt: skip


def test_S1_an_owner_without_a_policy_has_the_global_one() -> None:
    assert effective_policy(ServiceConfig(policy=TOP, owners=(Owner("a"),)), "a") == TOP


def test_S1_an_owner_with_a_policy_has_what_it_lists_within_the_global_one() -> None:
    own = Policy(
        images=("registry.example.org/ml/**",), binds=("/srv/ml", "/etc"), networks=("shop", "evil"),
        capabilities=("KILL", "SETUID"), external_volumes=("v2",), min_interval=10.0,
        max_resources=Resources(4.0, None, 5000),
    )  # fmt: skip
    assert effective_policy(ServiceConfig(policy=TOP, owners=(Owner("a", policy=own),)), "a") == Policy(
        images=("registry.example.org/ml/**",), binds=("/srv/ml",), networks=("shop",), capabilities=("KILL",),
        external_volumes=("v2",), min_interval=60.0, max_resources=Resources(4.0, 64 << 30, 4096),
    )  # fmt: skip


def test_S1_what_an_owner_is_not_granted_by_name_it_does_not_have() -> None:
    config = ServiceConfig(policy=TOP, owners=(Owner("a", policy=Policy()),))
    found = effective_policy(config, "a")
    assert (found.binds, found.networks, found.capabilities, found.external_volumes) == ((), (), (), ())
    assert (found.images, found.min_interval) == (TOP.images, 60.0)


def test_S1_the_wider_root_of_an_owner_is_cut_to_the_global_one() -> None:
    config = ServiceConfig(
        policy=Policy(binds=("/srv/a", "/srv/b")), owners=(Owner("a", policy=Policy(binds=("/srv",))),)
    )
    assert effective_policy(config, "a").binds == ("/srv/a", "/srv/b")


def test_S1_images_must_pass_the_owners_globs_and_the_global_ones() -> None:
    config = ServiceConfig(policy=TOP, owners=(Owner("default", policy=Policy(images=("**",))),))
    config = replace(config, policy=replace(TOP, min_interval=None, max_resources=None))
    assert codes(config, image="evil.net/a") == [("/image", "image-not-allowed")]
    assert codes(config, image="registry.example.org/a") == []
    narrow = replace(config, owners=(Owner("default", policy=Policy(images=("registry.example.org/ml/*",))),))
    assert codes(narrow, image="registry.example.org/a") == [("/image", "image-not-allowed")]


def test_S1_GPUs_need_the_grant_of_the_owner_and_of_the_ceiling() -> None:
    def asked(top: bool, own: bool | None) -> list[str]:
        policy = None if own is None else Policy(gpus=own)
        config = ServiceConfig(policy=Policy(gpus=top), owners=(Owner("default", policy=policy),))
        return [code for _, code in codes(config, resources=Resources(gpus=2))]

    assert asked(True, True) == asked(True, None) == []
    assert asked(True, False) == asked(False, True) == asked(False, None) == ["gpus-not-allowed"]


def test_S1_a_ceiling_of_GPUs_bounds_those_that_ask_and_nobody_must() -> None:
    config = ServiceConfig(policy=Policy(gpus=True, max_resources=Resources(gpus=1, pids_limit=1 << 22)))
    assert codes(config) == codes(config, resources=Resources(gpus=1)) == []
    assert codes(config, resources=Resources(gpus=2)) == [("/resources/gpus", "limit-exceeded")]


CODE_PATTERNS = {
    "a team over ssh": ("git@git.example.org:ml/*", "git@git.example.org:ml/churn.git", True),
    "the same as a URL": ("git@git.example.org:ml/*", "ssh://git@git.example.org/ml/churn.git", True),
    "another team": ("git@git.example.org:ml/*", "git@git.example.org:web/shop.git", False),
    "another host with that path": ("https://git.example.org/*", "https://elsewhere.net/git.example.org/x", False),
    "another protocol": ("https://git.example.org/*", "ssh://git.example.org/x", False),
    "a path that is listed": ("/srv/git/*", "/srv/git/c.git", True),
    "a path that climbs out": ("/srv/git/*", "/srv/git/../x", False),
    "a path by another pattern": ("https://git.example.org/*", "/srv/git/c.git", False),
    "plain http of this host": ("http://127.0.0.1:8080/*", "http://127.0.0.1:8080/c", True),
}


@pytest.mark.parametrize(("pattern", "url", "allowed"), CODE_PATTERNS.values(), ids=CODE_PATTERNS)
def test_S1_code_comes_from_where_policy_lists(pattern: str, url: str, allowed: bool) -> None:
    config = ServiceConfig(policy=Policy(repositories=(pattern,)))
    assert (codes(config, repositories=code(url)) == []) is allowed


def test_S1_an_owner_gets_no_code_beyond_the_ceiling() -> None:
    top, wide = Policy(repositories=("https://a.org/*",)), Policy(repositories=("https://a.org/*", "https://b.org/*"))
    config = ServiceConfig(policy=top, owners=(Owner("default", ("**",), wide),))
    assert codes(config, repositories=code("https://a.org/x", "https://b.org/x")) == [
        ("/repositories/1/url", "repository-not-allowed")
    ]
    config = ServiceConfig(owners=(Owner("default", ("**",), Policy(repositories=())),))
    assert codes(config, repositories=code("https://a.org/x")) == [("/repositories/0/url", "repository-not-allowed")]

"""What every test stands on: a clean environment, and the Docker tier that never skips in silence."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.lab.dockerd import Handle
from tests.lab.tier import Tier, open_tier

CI = os.environ.get("CI", "") not in ("", "0", "false")
ENGINE_FIXTURES = {"docker_host", "private_docker"}
ENGINE_MARKS = ("docker", "systemd")
TIER = pytest.StashKey[Tier]()
NOT_RUN = pytest.StashKey[set[str]]()

# No test's result may depend on who runs it: not on the person's git, service or zone. The zone is one that nobody has
# by chance (+12:45), so that whatever falls back on the machine's own is seen.
for _name in [n for n in os.environ if n.startswith(("RECONCILER_", "GIT_", "NOTIFY_", "WATCHDOG_", "JOURNAL_"))]:
    del os.environ[_name]
for _name in ("FORCE_COLOR", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CONFIGURATION_DIRECTORY"):
    os.environ.pop(_name, None)
os.environ.update(
    GIT_CONFIG_GLOBAL="/dev/null",
    GIT_CONFIG_NOSYSTEM="1",
    GIT_TERMINAL_PROMPT="0",
    GIT_AUTHOR_NAME="Anna Roth",
    GIT_AUTHOR_EMAIL="anna@example.org",
    GIT_COMMITTER_NAME="Anna Roth",
    GIT_COMMITTER_EMAIL="anna@example.org",
    TZ="Pacific/Chatham",
)
time.tzset()

# Two shared cores: no deadline per example. In CI the same examples each time, so that red means the change.
settings.register_profile("here", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if CI else "here")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOT_RUN] = set()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Who asks for an Engine is of the Docker tier."""
    if ENGINE_FIXTURES & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.docker)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the Engine here, where an installation counts against no test's time limit."""
    if session.config.option.collectonly or not any(map(_needs_engine, session.items)):
        return
    tier = session.config.stash[TIER] = open_tier(install=CI)
    if tier.notice:
        session.config.stash[NOT_RUN].add(tier.notice)


def _needs_engine(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(mark) for mark in ENGINE_MARKS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In CI a skipped test of the Docker tier is a failed one."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if CI and report.skipped and not hasattr(report, "wasxfail") and _needs_engine(item):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept of the Docker tier: {report.longrepr}"
    return report  # type: ignore[return-value]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the Engine that this process leased, and hand the controller what did not run."""
    tier = session.config.stash.get(TIER, None)
    if tier is not None:
        tier.close()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["not_run"] = sorted(session.config.stash[NOT_RUN])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """On the controller of several workers: collect what one of them says did not run."""
    node.config.stash[NOT_RUN].update(getattr(node, "workeroutput", {}).get("not_run", ()))  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of all: a green run without Docker must not read like a whole one."""
    if hasattr(config, "workerinput"):
        return
    for notice in sorted(config.stash.get(NOT_RUN, set())):
        print(notice, flush=True)


def _or_not_run(request: pytest.FixtureRequest, there: bool) -> Tier:
    tier = request.config.stash[TIER]
    if not there:
        pytest.skip(tier.why)
    return tier


@pytest.fixture(scope="session")
def docker_host(request: pytest.FixtureRequest) -> str:
    """A DOCKER_HOST for tests that leave the Engine as they found it: names of their own, nothing pruned."""
    return _or_not_run(request, bool(request.config.stash[TIER].host)).host


@pytest.fixture(scope="session")
def private_docker(request: pytest.FixtureRequest) -> Handle:
    """The Engine that the tests themselves started and will end. Shared: who kills an Engine starts another with
    `tests.lab.dockerd.ensure` in a directory of its own."""
    handle = _or_not_run(request, request.config.stash[TIER].private is not None).private
    assert handle is not None
    return handle


@pytest.fixture
def repo_root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parent.parent

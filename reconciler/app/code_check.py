"""Jobs and the service file -> what the servers of their code say of the refs that they name, each asked once.

Nothing is fetched: a commit that is named by its id counts as there if its server answers.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

from ..gitio.lookup import chosen, listed
from ..gitio.runner import GitRunner
from ..model.errors import CodeUnavailable, ReconcilerError
from ..model.job import CodeRepository, JobSpec
from ..model.service import ServiceConfig
from ..spec.giturl import parse_ref
from ..workspace.code_errors import as_code_errors
from ..workspace.reach import origin_of

AT_ONCE = 8  # servers
PATIENCE = 20.0  # seconds for one
ALL = 120.0  # seconds for all of them


@dataclass(frozen=True, slots=True)
class Told:
    """`commit`: what a run would have now; or `error`, as it would end the run."""

    url: str
    ref: str
    jobs: tuple[str, ...]
    commit: str = ""
    error: ReconcilerError | None = None


def check_code(config: ServiceConfig, specs: Iterable[JobSpec], runner: GitRunner | None = None) -> list[Told]:
    """By URL and ref. Never raises for what a server says."""
    wanted: dict[tuple[str, str], dict[str, list[str]]] = {}  # owner, URL -> ref -> jobs
    of: dict[tuple[str, str], tuple[JobSpec, CodeRepository]] = {}
    for spec in specs:
        for item in spec.repositories:
            jobs = wanted.setdefault((spec.owner, item.url), {}).setdefault(item.ref, [])
            jobs += [] if spec.name in jobs else [spec.name]
            of.setdefault((spec.owner, item.url), (spec, item))
    runner = runner or GitRunner()
    pool = ThreadPoolExecutor(AT_ONCE)
    asked = {key: pool.submit(_ask, runner, config, *of[key], tuple(refs)) for key, refs in wanted.items()}
    wait(asked.values(), ALL)
    runner.cancel()  # who has not answered by now does not
    pool.shutdown(cancel_futures=True)
    late = CodeUnavailable("its server was not asked in time")
    found = []
    for key, answer in asked.items():
        told = dict.fromkeys(wanted[key], late) if answer.cancelled() else answer.result()
        for ref, jobs in wanted[key].items():
            said = told[ref]
            commit, error = (said, None) if isinstance(said, str) else ("", said)
            found.append(Told(key[1], ref, tuple(sorted(jobs)), commit, error))
    return sorted(found, key=lambda item: (item.url, item.ref, item.jobs))


def _ask(
    runner: GitRunner, config: ServiceConfig, spec: JobSpec, item: CodeRepository, refs: Sequence[str]
) -> dict[str, str | ReconcilerError]:  # fmt: skip
    """By ref: its commit, or why a run would not have it."""
    try:
        with as_code_errors(spec):
            origin = origin_of(item, spec.owner, config)
            parsed = [parse_ref(ref) for ref in refs]
            timeout = min(PATIENCE, origin.git.timeout)
            ids = listed(runner, origin.address, parsed, origin.access(), timeout)
    except ReconcilerError as error:
        return dict.fromkeys(refs, error)
    found: dict[str, str | ReconcilerError] = {}
    for ref in parsed:
        try:
            with as_code_errors(spec):
                found[ref.text] = chosen(ref, ids, origin.address, None)[1]
        except ReconcilerError as error:
            found[ref.text] = error
    return found

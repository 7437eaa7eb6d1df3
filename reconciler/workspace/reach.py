"""A repository that a job names, or that one of its submodules does -> how the job's owner reaches it."""

from ..model.errors import SourceRejected
from ..model.job import CodeRepository
from ..model.service import GitConfig, ServiceConfig
from ..spec.admission import effective_policy
from ..spec.code import allowed
from ..spec.giturl import parse_url
from .mirrors import Origin


def origin_of(item: CodeRepository, owner: str, config: ServiceConfig) -> Origin:
    """The repository as that owner reaches it. An owner of the service file uses its own keys and tokens alone; those
    of `git:` are for the jobs' repository, unless there are no owners at all."""
    team = next((found for found in config.owners if found.name == owner), None)
    git = config.git
    if team is not None:
        git = GitConfig(git.known_hosts, team.deploy_keys, team.tokens, git.timeout)
    return Origin(parse_url(item.url), git, owner, config.limits.repository_bytes, item.depth)


def submodule_of(url: str, depth: int, owner: str, config: ServiceConfig) -> Origin:
    """The same of a submodule, by its whole URL: nothing is taken that the owner's job could not name itself. Raises
    SourceRejected (`code-submodule-denied`)."""
    ceilings = (config.policy.repositories, effective_policy(config, owner).repositories)
    if not all(allowed(url, patterns) for patterns in ceilings):
        raise SourceRejected(
            f"code from {url} is not allowed for {owner}", code="code-submodule-denied",
            hint="`policy.repositories` of the service file lists what may be had",
        )  # fmt: skip
    return origin_of(CodeRepository(url, "/", depth=depth), owner, config)

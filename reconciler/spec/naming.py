"""In: a name for a built image. Out: what is wrong with it, and whether a member of the job's owner may give it."""

from ..model.service import ServiceConfig
from .admission import effective_policy
from .images import image_allowed, parse_image


def fault(name: str) -> str:
    """Why it is no name for an image, as the end of a sentence; "" = it is one."""
    try:
        reference = parse_image(name)
    except ValueError as error:
        return str(error)
    return "has a digest, which only its registry gives" if reference.digest else ""


def may_name(config: ServiceConfig, owner: str, name: str) -> bool:
    """A name is what others pull by, here and on other hosts: a member gives only what the administrator has listed."""
    return all(image_allowed(globs, name) for globs in (config.policy.push, effective_policy(config, owner).push))

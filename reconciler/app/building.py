"""The routes of `reconciler build`."""

from collections.abc import Callable

from ..daemon.builds import Build, BuildAsked, Builds, pinned
from ..model.errors import NotAllowed
from ..model.service import ServiceConfig
from ..server import building as api
from ..server.exchange import Handlers, Request, Response
from ..spec.admission import owner_of
from ..spec.naming import may_name
from .authority import Authority, Caller


def building_routes(builds: Builds, authority: Authority, config: Callable[[], ServiceConfig]) -> Handlers:
    """Handlers by (method, path)."""

    def build(request: Request) -> Response:
        asked = api.BuildImage.from_data(request.body)
        actor = authority.for_job(request.peer, asked.job, "build an image of")
        _check_name(asked, authority.caller(request.peer))
        wanted = BuildAsked(asked.job, asked.name, asked.push, asked.start_script)
        return Response(api.BuildId(builds.start(wanted, actor)).to_data())

    def state(request: Request) -> Response:
        found = builds.look(api.BuildId.from_data(request.body).build)
        authority.for_job(request.peer, found.asked.job, "look at a build of")
        return Response(_state(found, config()).to_data())

    return {("POST", "/v1/build"): build, ("POST", "/v1/build/state"): state}


def _check_name(asked: api.BuildImage, caller: Caller) -> None:
    """Of this host's images, too: who takes the name of one that others run has their jobs run it."""
    if not asked.name or caller.owners is None:
        return
    owner = owner_of(caller.config, asked.job)
    if owner is None or not may_name(caller.config, owner, asked.name):
        hint = "an administrator may list it in `policy.push`, of the service file and of the owner"
        raise NotAllowed(f"cannot call an image {asked.name}: {owner} may not give that name", hint=hint)


def _state(build: Build, config: ServiceConfig) -> api.BuildState:
    said, spec, built, error = tuple(build.said), build.job.spec, build.built, build.error
    if error is not None:
        return api.BuildState(build.asked.job, said, True, None, str(error), error.code, error.hint)
    if built is None:
        return api.BuildState(build.asked.job, said)
    replaces = (("packages",) if spec.packages.managers else ()) + (
        ("start_script",) if build.asked.start_script else ()
    )
    made = api.BuiltImage(
        job=spec.name, path=build.job.path, image=pinned(built, spec, config), name=built.name,
        image_id=built.image_id, digest=built.digest, base=spec.image, base_id=built.base_id,
        base_digest=built.base_digest, revision=build.job.revision, replaces=replaces, installed=built.installed,
        code=tuple(api.CodeLine(item.url, item.ref, item.commit) for item in build.code),
    )  # fmt: skip
    return api.BuildState(build.asked.job, said, True, made)

"""In: nothing. Out: the id of an image that holds nothing, for what is only to be seen and never started."""

from ..model.errors import EngineRejected
from .docker_client import Clients, translated
from .docker_recent import Recent

REPOSITORY, TAG = "reconciler-empty", "1"
_NO_FILES = b"\0" * 1024  # a tar archive's end


def empty_image(clients: Clients, recent: Recent) -> str:
    """The standing container of a job that runs in another container is made of it. Raises EngineUnavailable."""
    name = f"{REPOSITORY}:{TAG}"
    found = recent.get(f"image {name}", lambda: _find(clients, name))
    if found is None:
        with translated("make the image", name):
            clients.get().import_image_from_data(_NO_FILES, repository=REPOSITORY, tag=TAG)
        recent.forget(f"image {name}")
        found = recent.get(f"image {name}", lambda: _find(clients, name))
    return found or ""


def _find(clients: Clients, name: str) -> str | None:
    try:
        with translated("inspect image", name):
            return str(clients.ask("GET", f"/images/{name}/json")["Id"])
    except EngineRejected as error:
        if error.code in ("image-missing", "engine-absent"):
            return None
        raise

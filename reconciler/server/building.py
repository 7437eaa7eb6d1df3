"""The shapes of `reconciler build`: POST /v1/build, POST /v1/build/state."""

from dataclasses import dataclass

from .shapes import Shape


@dataclass(frozen=True, slots=True)
class BuildImage(Shape):
    """POST /v1/build. `name` "" = one of the service's; `start_script`: keep what the job's start script does."""

    job: str
    name: str = ""
    push: bool = False
    start_script: bool = False


@dataclass(frozen=True, slots=True)
class BuildId(Shape):
    """The answer to it, and POST /v1/build/state."""

    build: str


@dataclass(frozen=True, slots=True)
class CodeLine(Shape):
    """The commit that lists of packages were read from."""

    url: str
    ref: str
    commit: str


@dataclass(frozen=True, slots=True)
class BuiltImage(Shape):
    """`image`: what pins it in a job file; `replaces`: the keys of the job file that it stands for."""

    job: str
    path: str
    image: str
    name: str
    image_id: str
    digest: str
    base: str
    base_id: str
    base_digest: str
    revision: str
    replaces: tuple[str, ...] = ()
    installed: tuple[str, ...] = ()
    code: tuple[CodeLine, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildState(Shape):
    """How it goes: the steps so far. With `done` either `built` is set, or `error`, `code` and `hint`."""

    job: str
    said: tuple[str, ...]
    done: bool = False
    built: BuiltImage | None = None
    error: str = ""
    code: str = ""
    hint: str = ""

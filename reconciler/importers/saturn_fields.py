"""The fields of Saturn Cloud recipes, and what each becomes."""

import re
from collections.abc import Iterator

from . import later
from .draft import Draft, Mapping, Mark, Node, Scalar, Sequence, mark_of
from .fields import Field, Table, guard, into
from .model import NoteCode
from .schedules import keep_go
from .shell import keep_shell
from .values import WrongValue, count_of, flag_of, is_nothing, items_of, map_of, text_of, texts_of

HOME = "/home/jovyan"
WORKSPACE = f"{HOME}/workspace"
_POLICIES = {"allow": "Allow", "forbid": "Forbid", "replace": "Replace"}
_REPOSITORY = re.compile(r"([^/:]+?)(?:\.git)?/*\Z")
_PACKAGE_KINDS = ("pip", "conda", "apt", "cran")


class Recipe:
    """One recipe on its way: its draft, and what one field tells another."""

    def __init__(self, draft: Draft, root: Mapping) -> None:
        self.draft, self.root = draft, root


def _draft(recipe: Recipe) -> Draft:
    return recipe.draft


def _image(recipe: Recipe, node: Node, at: Mark) -> None:
    draft = recipe.draft
    if isinstance(node, Mapping):
        uri = node.items.get("uri")
        if uri is not None:
            draft.keep("image", text_of(uri), at)
            return
        parts = {key: text_of(value) for key, value in node.items.items() if isinstance(value, Scalar)}
        version = f":{parts['version']}" if parts.get("version") else ""
        name = "/".join(part for part in (parts.get("owner", ""), parts.get("name", "")) if part) + version
    else:
        name = text_of(node)
    if "." in name.split("/")[0] and "/" in name:  # a registry's host comes first
        draft.keep("image", name, at)
        return
    _platform_image(draft, name or "an image by its id", at)


def _platform_image(draft: Draft, name: str, at: Mark) -> None:
    if draft.batch.options.image:
        draft.keep("image", draft.batch.options.image, at)
        draft.note(
            at, NoteCode.MEANING, f'the image "{name[:200]}" of Saturn\'s catalogue is {draft.values["image"]} here'
        )
        return
    draft.keep("image", name if "/" in name else "", at)
    hint = "Write where it can be pulled from, or import with `--image IMAGE`."
    draft.note(at, NoteCode.PLATFORM_IMAGE, f'"{name[:200]}" is a name of Saturn\'s own catalogue', hint)


def _variables(recipe: Recipe, node: Node, at: Mark) -> None:  # noqa: ARG001
    for key, value in map_of(node).items.items():
        place = map_of(node).keys[key]
        guard(recipe.draft, f"environment_variables.{key[:80]}", place,
              lambda k=key, v=value, p=place: recipe.draft.variable(k, text_of(v), p))  # type: ignore[misc]  # fmt: skip


def _line(node: Node) -> str:
    return " ".join(text_of(node).split())[:1000]


def _tags(recipe: Recipe, node: Node, at: Mark) -> None:  # noqa: ARG001
    for key, value in map_of(node).items.items():
        recipe.draft.put("labels", key, text_of(value), map_of(node).keys[key])


def _command(recipe: Recipe, node: Node, at: Mark) -> None:
    if isinstance(node, Sequence):  # a list of commands, drained by `scale` machines
        lines = texts_of(node)
        recipe.draft.keep("strategy", {"matrix": {"work": list(dict.fromkeys(lines))}}, at)
        keep_shell(recipe.draft, 'eval "$WORK"', at)
        recipe.draft.note(at, NoteCode.MEANING, f"the list of {len(lines)} commands is a matrix: one cell for each")
        return
    keep_shell(recipe.draft, text_of(node), at)


def _schedule(recipe: Recipe, node: Node, at: Mark) -> None:
    keep_go(recipe.draft, text_of(node), at, usual_zone="UTC", what="Saturn's schedules are in UTC")


def _policy(recipe: Recipe, node: Node, at: Mark) -> None:
    policy = _POLICIES.get(text_of(node).lower())
    if policy is None:
        raise WrongValue("Allow, Forbid or Replace")
    recipe.draft.keep("concurrency_policy", policy, at)


def _scale(recipe: Recipe, node: Node, at: Mark) -> None:
    scale = count_of(node)
    if scale <= 1:
        return
    strategy = recipe.draft.values.get("strategy", {})
    if "matrix" in strategy:
        strategy["max_parallel"] = scale
        return
    recipe.draft.keep("strategy", {"parallelism": scale}, at)
    recipe.draft.note(at, NoteCode.MEANING, "scale: the cells of a run find RECONCILER_CELL and RECONCILER_CELLS, not "
                      "SATURN_JOB_RANK and SATURN_JOB_SCALE, and no names of each other")  # fmt: skip


def _retries(recipe: Recipe, node: Node, at: Mark) -> None:
    recipe.draft.keep("retries", count_of(node), at)


def _repositories(recipe: Recipe, node: Node, at: Mark) -> None:
    found = []
    for item in items_of(node):
        parts = {key: text_of(value) for key, value in map_of(item).items.items()}
        url = parts.get("url", "")
        name = _REPOSITORY.search(url[-200:])
        target = parts.get("path") or parts.get("location") or f"{WORKSPACE}/{name[1] if name else 'code'}"
        entry = {"url": url, "ref": parts.get("reference", ""), "target": _absolute(target)}
        found.append({key: value for key, value in entry.items() if value})
        if parts.get("on_restart", "") == "preserve changes":
            recipe.draft.note(mark_of(item), NoteCode.MEANING, f"{url[:120]}: every run gets a fresh checkout")
    urls = ", ".join(entry.get("url", "")[:120] for entry in found)
    later.repositories(recipe.draft, at, found, f"git_repositories: the code comes from {urls}")


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"{WORKSPACE}/{path}"


def _packages(recipe: Recipe, node: Node, at: Mark) -> None:
    """`pip: "x y"` in old files, `pip: {install: "x y"}` since."""
    kept: dict[str, list[str]] = {}
    for kind, value in map_of(node).items.items():
        place = map_of(node).keys[kind]
        if is_nothing(value):
            continue
        inner = value.items if isinstance(value, Mapping) else {"install": value}
        for key, said in inner.items():
            if key == "install" and kind in _PACKAGE_KINDS:
                kept.setdefault(kind, []).extend(text_of(said).split())
            elif key == "requirements_txt":
                kept.setdefault(kind, []).extend(_requirements(text_of(said)))
            elif key != "use_mamba":
                message = f"extra_packages.{kind[:40]}.{key[:40]} has no counterpart"
                recipe.draft.note(place, NoteCode.MISSING_PART, message, "Build an image that holds them.")
    if kept:
        later.packages(recipe.draft, at, kept, f"extra_packages of {', '.join(kept)} were installed at every start")


def _requirements(text: str) -> Iterator[str]:
    for line in text.splitlines():
        plain = line.partition(" #")[0].strip()
        if plain and not plain.startswith("#"):
            yield plain


def _start_script(recipe: Recipe, node: Node, at: Mark) -> None:
    later.start_script(recipe.draft, at, text_of(node), "start_script ran before the command at every start")


def _secrets(recipe: Recipe, node: Node, at: Mark) -> None:
    for item in items_of(node):
        parts = {key: text_of(value) for key, value in map_of(item).items.items()}
        place = parts.get("location", "")
        as_file = parts.get("attachment_type", parts.get("type", "")) == "file"
        name = parts.get("name") or place.rsplit("/", 1)[-1] or "secret"
        owner = f" of {parts['owner']}" if parts.get("owner") else ""
        what = f'secrets: "{name[:80]}"{owner[:80]} as {"the file" if as_file else "the variable"} {place[:200]}'
        later.secret(recipe.draft, mark_of(item) if item else at, name, what, env="" if as_file else place,
                     target=_absolute(place) if as_file else "")  # fmt: skip


def _shared_folders(recipe: Recipe, node: Node, at: Mark) -> None:
    for item in items_of(node):
        parts = {key: text_of(value) for key, value in map_of(item).items.items()}
        name, owner = parts.get("name", ""), parts.get("owner", "")
        target = parts.get("path") or f"{HOME}/shared/{owner.rsplit('/', 1)[-1]}/{name}"
        volume = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "shared"
        mount = {"source": volume, "target": _absolute(target).rstrip("/") or "/"}
        recipe.draft.add("volumes", f"{mount['source']}:{mount['target']}", at)
        message = f'the shared folder "{name[:80]}" is the volume {volume}, which is empty at first'
        recipe.draft.note(mark_of(item), NoteCode.EMPTY_VOLUME, message)


def _config_files(recipe: Recipe, node: Node, at: Mark) -> None:  # noqa: ARG001
    for path, value in map_of(node).items.items():
        parts = {key: text_of(said) for key, said in map_of(value).items.items()}
        target = path if path.startswith("/") else f"{HOME}/{path}"
        file = {"content": parts.get("content", "")} | ({"mode": parts["mode"]} if "mode" in parts else {})
        recipe.draft.put("files", target, file, map_of(node).keys[path])
        recipe.draft.note(map_of(node).keys[path], NoteCode.MEANING, f"{target} is read-only here")


def _dind(recipe: Recipe, node: Node, at: Mark) -> None:
    if flag_of(node):
        recipe.draft.note(at, NoteCode.MISSING_PART, "start_dind: no job may reach the Docker Engine")


def _size(recipe: Recipe, node: Node, at: Mark) -> None:
    recipe.draft.put("resources", "size", text_of(node), at)


_TRUST = "the path of the file decides whose a job is"
COMMON: tuple[Field[Recipe], ...] = (
    Field("name", "the file's name", "made to the rule for job names", silent=True),
    Field("owner", remark=_TRUST),
    Field("description", "`description`", read=into("description", _line, _draft)),
    Field("image", "`image`", "a name of Saturn's catalogue is **needed** from a registry", _image),
    Field("environment_variables", "`environment`", "", _variables),
    Field("working_directory", "`working_dir`", "", into("working_dir", text_of, _draft)),
    Field("extra_packages", "`packages`", "pip, conda, apt, cran; others are **needed**", _packages),
    Field("config_files", "`files`", "below the home directory; read-only", _config_files),
    Field("start_script", "`start_script`", "", _start_script),
    Field("git_repositories", "`repositories`", "`preserve changes`: every run gets a fresh checkout", _repositories),
    Field("secrets", "`secrets`", "only the names; the values have to be provided", _secrets),
    Field("shared_folders", "`volumes`", "a new named volume: copy what the folder holds", _shared_folders),
    Field("start_dind", "", "true is **needed**: no job may reach the Docker Engine", _dind),
    Field("dask_cluster", "", "no cluster is started beside a job", need=True),
    Field("token_scope", remark="there is no token for a platform", need=True),
)  # fmt: skip
JOB: tuple[Field[Recipe], ...] = (
    Field("instance_type", "`resources.size`", "where the service file has a size of this name", _size),
    Field("command", "`script`, or `entrypoint` and `command`", "see above; a list is a `strategy.matrix`", _command),
    Field("schedule", "`schedule`, `timezone: UTC`", "none is `manual`", _schedule),
    Field("concurrency_policy", "`concurrency_policy`", "left out it is `Allow`, which is written", _policy),
)  # fmt: skip
CURRENT = Table[Recipe]("spec.", (
    *COMMON, *JOB,
    Field("tags", "`labels`", "", _tags),
    Field("scale", "`strategy.parallelism`", "with a list of commands `max_parallel`", _scale),
    Field("retries", "`retries`", "left out it is 0, which is written", _retries),
    Field("use_spot_instance", remark="there are no instances to choose from"),
    Field("status", "", "the state of a resource", silent=True),
))  # fmt: skip
ENVELOPE = Table[Recipe]("", (
    Field("type", "", "`job`; others are no jobs", silent=True),
    Field("schema_version", silent=True), Field("version", silent=True), Field("spec", silent=True),
    Field("state", "", "what the platform reports", silent=True),
))  # fmt: skip
FLAT = Table[Recipe]("", (
    *COMMON,
    Field("image_uri", "`image`", "", into("image", text_of, _draft)),
    Field("job", silent=True), Field("schema_version", silent=True), Field("version", silent=True),
    Field("visibility", remark=_TRUST), Field("state", "", "what the platform reports", silent=True),
))  # fmt: skip
FLAT_JOB = Table[Recipe]("job.", (
    *JOB,
    Field("backoff_limit", "`retries`", "left out it is 3, which is written", _retries),
    Field("retries", "`retries`", "", _retries),
    Field("start_dind", "", "as above", _dind),
))  # fmt: skip
TABLES = (ENVELOPE, CURRENT, FLAT, FLAT_JOB)

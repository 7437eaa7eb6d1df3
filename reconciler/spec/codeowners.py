"""In: owners, people and paths of the service file. Out: CODEOWNERS, so that a review asks those whose job it is."""

from collections.abc import Iterator

from ..model.service import Owner, ServiceConfig

_HEAD = """\
# Who is asked about which job files: the owners of the service file, as `reconciler init --config FILE` writes them.
# The last line that matches counts. A path without an address has nobody to ask.
"""


def codeowners(config: ServiceConfig) -> str:
    """The first owner that matches has a job, the last line that matches has a file: so in the opposite order."""
    lines = [line for owner in reversed(config.owners) for line in _lines(owner, config)]
    return _HEAD + "".join(f"{line}\n" for line in (*lines, *_stores(config)))


def _stores(config: ServiceConfig) -> Iterator[str]:
    """Whoever commits into such a folder can give another's secret a name of their own, so no owner is asked. Last,
    that is, above all owners."""
    paths = [store.path for store in config.secret_stores if store.type == "age"]
    if paths:
        yield "# Encrypted secrets: for administrators alone, whose addresses go behind each path."
        yield from (f"{_escaped('/' + path)}/" if path else "/*.age" for path in dict.fromkeys(paths))


def _lines(owner: Owner, config: ServiceConfig) -> Iterator[str]:
    mails = {person.name: person.email for person in config.people if person.email}
    asked = " ".join(dict.fromkeys(mails[name] for name in owner.members if name in mails))
    yield f"# {owner.name}"
    for path in config.source.paths:
        for glob in owner.paths:
            for pattern in _patterns(path, glob):
                yield f"{pattern} {asked}".rstrip()


def _patterns(path: str, glob: str) -> Iterator[str]:
    """Globs of job names as patterns of files: the name's suffix is the file's. A `**` that ends one takes in the
    folder's defaults and whatever else the jobs need."""
    root = "/" + "/".join(part for part in (path.strip("/"), glob) if part)
    root = _escaped(root)
    if root.endswith("*"):
        yield root
    else:
        yield from (f"{root}{end}" for end in (".yaml", ".yml"))


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(" ", "\\ ")

"""Hold a job file against the policy of its owner: `reconciler policy test FILE`. Needs no service and changes nothing.

Every violation is told with its line, and then what is granted. With --owner or --as the file is judged as if it were
another's. Exit code 0: the file would be admitted; 1: it would not.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.errors import UsageError
from .output import plain, print_json

if TYPE_CHECKING:
    from ..model.service import ServiceConfig

OF_OTHERS = ("link-unknown",)  # problems that a file has only because it is looked at alone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("test",), help="test: hold FILE against the policy")
    parser.add_argument("file", help="a job file")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--owner", metavar="NAME", help="as if it belonged to this owner")
    whose.add_argument("--as", dest="job", metavar="JOB", help="as if it stood where JOB's file would stand")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from ..app.owners import grants
    from ..app.reading import read_file
    from ..spec.render import render_problems
    from .context import settings
    from .owners import granted
    from .validate import file_prefix

    config, path = settings(args), Path(args.file)
    if not path.is_file():
        raise UsageError(f"cannot test {args.file}: there is no such file", code="source-not-found")
    owner = _owner(config, args, path)
    found = read_file(_belonging_to(config, owner), path)
    problems = sorted(problem for problem in found.problems if problem.code not in OF_OTHERS)
    allowed = not any(problem.is_error for problem in problems)
    given = grants(config, owner)
    if args.output == "json":
        keys = ("path", "line", "column", "code", "message", "hint", "severity")
        said = [{key: getattr(problem, key) for key in keys} for problem in problems]
        print_json({"file": args.file, "owner": owner, "allowed": allowed, "problems": said, "grants": given})
        return 0 if allowed else 1
    if problems:
        print(render_problems(problems, "text", found.sources, prefix=file_prefix(config, path)) + "\n")
    print(plain(f"{owner} is granted: {'; '.join(granted(given))}"))
    print(f"{args.file} would {'be' if allowed else 'not be'} admitted")
    return 0 if allowed else 1


def _owner(config: "ServiceConfig", args: argparse.Namespace, path: Path) -> str:
    """Whose policy counts. Raises UsageError if nobody's does."""
    from ..app.reading import jobs_directory
    from ..model.service import DEFAULT_OWNER
    from ..spec.admission import owner_of

    if args.owner is not None:
        known = [owner.name for owner in config.owners] or [DEFAULT_OWNER]
        if args.owner not in known:
            raise UsageError(f"cannot find owner {args.owner!r}", code="owner-unknown", hint=f"known: {known}")
        return str(args.owner)
    file = path.absolute()
    name = args.job or file.relative_to(jobs_directory(config, file)).with_suffix("").as_posix()
    owner = owner_of(config, name)
    if owner is None:
        raise UsageError(f"cannot test {args.file}: no owner of the service file has {name}", code="owner-unknown",
                         hint="say whose policy is meant: --owner NAME or --as JOB")  # fmt: skip
    return owner


def _belonging_to(config: "ServiceConfig", owner: str) -> "ServiceConfig":
    """The configuration in which all jobs are this owner's."""
    return replace(config, owners=tuple(replace(one, paths=("**",)) for one in config.owners if one.name == owner))

"""Make an image with a job's packages in it, and print the lines that pin it in the job's file.

It has what the job's runs have: the same base image, and the same packages where they are installed into an image
already. The running service makes it. Without --tag it has a name of its own on this host; nothing removes it.
"""

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from ..model.errors import Permanent, Transient

if TYPE_CHECKING:
    from ..model.service import ServiceConfig

LONGEST = 3 * 3600.0  # seconds; each step has a deadline of its own
AGAIN = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="a job that is applied")
    parser.add_argument("--tag", metavar="NAME", default="", help="its name: registry.example.org/team/name:tag")
    parser.add_argument("--push", action="store_true", help="push it to its registry, and pin it by digest")
    parser.add_argument("--with-start-script", action="store_true",
                        help="run the job's start_script once, and keep what it has done")  # fmt: skip
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import ask, settings
    from .output import print_json

    config = settings(args, asking=True)
    asked = {"job": args.job, "name": args.tag, "push": args.push, "start_script": args.with_start_script}
    built = _await(config, ask(config, "POST", "/v1/build", asked)["build"])
    if args.output == "json":
        print_json({**built, "lines": lines(built)})
        return 0
    print(text(built))
    return 0


def _await(config: "ServiceConfig", build: str) -> dict[str, Any]:
    """Its steps go to standard error as they begin."""
    from .context import ask
    from .output import plain

    until, told = time.monotonic() + LONGEST, 0
    while True:
        state = ask(config, "POST", "/v1/build/state", {"build": build})
        for step in state["said"][told:]:
            print(plain(step), file=sys.stderr)
        told = len(state["said"])
        if state["done"]:
            break
        if time.monotonic() > until:
            raise Transient("cannot wait any longer for the image: it takes hours", code="service-busy",
                            hint="the service's log says how it ends: `image.built`")  # fmt: skip
        time.sleep(AGAIN)
    if state["built"] is None:
        raise Permanent(state["error"], code=state["code"], hint=state["hint"])
    found: dict[str, Any] = state["built"]
    return found


def lines(built: dict[str, Any]) -> list[str]:
    """What pins it in a job file, without its packages."""
    if built["digest"]:
        return [f"image: {built['image']}  # {built['name']}"]
    return [f"image: {built['image']}  # {built['image_id']}", "pull_policy: never"]


def text(built: dict[str, Any]) -> str:
    """For people; what may be pasted stands by itself."""
    from .output import plain

    keys = " and ".join(f"`{key}`" for key in ("image", *built["replaces"]))
    said = [f"# in {plain(built['path'])}, instead of {keys}:", *map(plain, lines(built))]
    if not built["digest"]:
        said.append("# only this host has it; with --tag NAME --push a registry has it, too")
    return "\n".join(said)

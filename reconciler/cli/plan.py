"""Show what would change, why, and when jobs would fire. Changes nothing.

Exit code 0: nothing to do; 2: changes; 1: an error or a refused plan.
"""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json", "markdown"), default="text")


def run(args: argparse.Namespace) -> int:
    from .context import ask, service_runs, settings
    from .output import colour_wanted

    config = settings(args)
    if service_runs(config) and not (args.source or args.ref or args.path or args.engine):
        found = ask(config, "GET", f"/v1/plan?form={args.output}&colour={int(colour_wanted())}")
    else:
        from ..app.oneshot import plan_once
        from ..app.routes import rendered

        found = rendered(plan_once(config), args.output, colour_wanted(), config.instance)
    sys.stdout.write(str(found["text"]))
    return int(found["exit_code"])

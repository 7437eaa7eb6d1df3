"""Show what would change, why, and when jobs would fire. Changes nothing.

Exit code 0: nothing to do; 2: changes; 1: an error or a refused plan.
"""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json", "markdown"), default="text")


def run(args: argparse.Namespace) -> int:
    from .context import ask, now, service_runs, settings
    from .output import colour_wanted

    config = settings(args)
    if service_runs(config) and not (args.source or args.ref or args.path or args.engine):
        found = ask(config, "GET", f"/v1/plan?form={args.output}&colour={int(colour_wanted())}")
    else:
        from ..app.oneshot import plan_once
        from ..app.routes import rendered

        plan, standing = plan_once(config)
        found = rendered(
            plan, standing, now(), form=args.output, colour=colour_wanted(), instance=config.instance
        )  # fmt: skip
    sys.stdout.write(str(found["text"]))
    return int(found["exit_code"])

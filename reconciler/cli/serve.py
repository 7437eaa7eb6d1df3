"""Run the service in the foreground: follow the repository, keep the containers in step, fire on time.

Ctrl-C stops the service and leaves runs alone; the next start adopts them.
"""

import argparse
import os
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--show-plan", action="store_true", help="print the first plan, and each new one as it is applied"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log more: what only helps to find a fault")


def run(args: argparse.Namespace) -> int:
    from ..app.serving import serve
    from ..daemon.settings import load
    from ..model.errors import UsageError
    from ..model.plan import Plan
    from ..model.service import ServiceConfig
    from ..plan import render_text
    from .context import now, overrides, settings
    from .output import colour_wanted

    config = settings(args)

    def again() -> ServiceConfig:
        fresh, problems = load(overrides(args))
        errors = [str(problem) for problem in problems if problem.is_error]
        if errors:
            raise UsageError(f"cannot use the service file: {errors[0]}", code="config-invalid")
        return fresh

    def show(plan: Plan) -> None:
        text = render_text.render(
            plan, colour=colour_wanted(), instance=config.instance, now=now(), applying=True
        )  # fmt: skip
        print(text, flush=True)

    code = serve(
        config, reload=again, verbose=args.verbose, show_plan=show if args.show_plan else None,
        say=lambda line: print(line, flush=True),
    )  # fmt: skip
    # The interpreter would wait for worker threads, and one may wait for an engine that hangs. All that matters is on
    # disk by now, and what was in flight is looked at by the next start.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

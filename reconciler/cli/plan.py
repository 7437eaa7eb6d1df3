"""Show what would change, why, and when jobs would fire. Changes nothing, in any state directory.

Exit code 0: nothing to do; 2: changes; 1: an error or a refused plan.
With --source, --ref, --path or --engine it is made here against the state directory, else the service is asked, which
first reads the repository again. If that takes too long, a line on standard error says so.
"""

import argparse
import re
import shlex
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json", "markdown"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import ask, now, service_runs, settings, stated
    from .output import colour_wanted, plain, working

    config, said = settings(args), stated(args)
    own = any((said.source, said.ref, said.paths, said.engine))
    if not own and service_runs(config):
        with working("asking the service to read the repository"):
            found = ask(config, "GET", f"/v1/plan?form={args.output}&colour={int(colour_wanted())}")
        if found["stale"]:
            print(f"reconciler: this plan may not be of the newest commit: {plain(found['stale'])}", file=sys.stderr)
    else:
        from ..app.oneshot import plan_once
        from ..app.routes import rendered

        with working(f"reading {config.source.url}"):
            plan, standing = plan_once(config)
        found = rendered(
            plan, standing, now(), form=args.output, colour=colour_wanted(), instance=config.instance
        )  # fmt: skip
    text = str(found["text"])
    sys.stdout.write(text if args.output == "json" else with_options(text, args))
    return int(found["exit_code"])


def with_options(text: str, args: argparse.Namespace) -> str:
    """`reconciler apply DIGEST` and `approve DIGEST` as they are to be typed where this plan was asked for."""
    given = {"--config": args.config, "--source": args.source, "--ref": args.ref, "--engine": args.engine,
             "--state-dir": args.state_dir}  # fmt: skip
    words = [word for name, value in given.items() if value for word in (name, value)]
    words += [word for path in args.path or () for word in ("--path", path)]
    if not words:
        return text
    options = shlex.join(words).replace("\\", "\\\\")
    return re.sub(r"\breconciler (apply|approve) ([0-9a-f]{16,64})\b", rf"reconciler \1 {options} \2", text)

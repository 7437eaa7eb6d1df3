"""Read a job's schedule and rules aloud, each with who said it; its next fires, with the days that clocks change."""

import argparse

from ..model.errors import UsageError
from .output import colour_wanted, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .context import positive

    parser.add_argument("job", help="a job that is applied")
    parser.add_argument("--count", type=positive, default=5, metavar="N", help="how many fires (default 5)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from ..answers.explain import explain
    from ..answers.explain_text import data, lines
    from ..app.asking import Asker
    from ..plan.render_text import shown
    from .context import ledger, now, service_status, settings
    from .find import known_job
    from .fleet import held_jobs

    config, at = settings(args, asking=True), now()
    _, degraded = service_status(config)
    with ledger(config) as history:
        name = known_job(history, args.job)
        asker = Asker(history, config, name, at, held=held_jobs(history).get(name), degraded=degraded)
        facts = asker.now_facts()
    if facts.standing is None:
        raise UsageError(f"cannot explain {name}: it is not applied", code="job-retired",
                         hint="it was retired, or its file is broken: reconciler jobs --all")  # fmt: skip
    found = explain(facts, args.count)
    if args.output == "json":
        print_json(data(found))
        return 0
    colour = colour_wanted()
    for line in lines(found):
        print(shown(line, colour))
    return 0

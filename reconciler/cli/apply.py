"""Carry the plan out. With DIGEST, exactly that plan: if the repository or the machine has moved on, nothing is done.

While the service runs it does the work (it applies every new commit by itself; this says "now"). Without it, the
command takes the state directory's lock and works itself; jobs fire only while the service runs.
Exit code 0: everything is applied; 1: something failed, or the plan is refused.
"""

import argparse
import sys
from typing import Any

PASS = 1800.0  # seconds: images may have to be pulled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("digest", nargs="?", help="the digest that 'reconciler plan' printed")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import ask, service_runs, settings
    from .output import print_json, working

    config = settings(args)
    if service_runs(config):
        with working("the service applies"):
            answer = ask(config, "POST", "/v1/apply", {"digest": args.digest or ""}, timeout=PASS)
    else:
        from ..app.oneshot import apply_once
        from ..app.routes import applied_data

        answer = applied_data(apply_once(config, args.digest or "", _progress))
    if args.output == "json":
        print_json(answer)
    else:
        _say(answer)
    return 1 if answer["failed"] or answer["refused"] else 0


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(line, file=sys.stderr)


def _say(answer: dict[str, Any]) -> None:
    from .output import plain

    for result in answer["results"]:
        mark = "done  " if result["ok"] else "FAILED"
        error = f"{plain(result['error'])} [{result['error_code']}]" if result["error"] else ""
        print(f"  {mark} {result['kind']:<8} {plain(result['name'])}  {error}".rstrip())
        if error and result["hint"]:
            print(f"{'':18}{plain(result['hint'])}")
    for refusal in answer["refusals"]:
        print(f"REFUSED  {plain(refusal['message'])} [{refusal['code']}]\n         {plain(refusal['hint'])}")
    if answer["refused"]:
        print("Nothing has changed.")
        return
    numbers = f"{answer['applied']} applied, {answer['failed']} failed, {answer['unchanged']} unchanged"
    revision = plain(answer["revision"])[:12]
    print(f"{numbers}: {'in step with' if not answer['failed'] else 'not yet in step with'} {revision}")

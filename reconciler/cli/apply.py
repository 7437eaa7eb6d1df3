"""Carry the plan out. With DIGEST, exactly that plan: if the repository or the machine has moved on, nothing is done.

While the service runs it does the work (it applies every new commit by itself; this says "now"). Without it, the
command takes the state directory's lock and works itself; jobs fire only while the service runs.
"""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("digest", nargs="?", help="the digest that 'reconciler plan' printed")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(args: argparse.Namespace) -> int:
    from .context import service_runs, settings
    from .output import print_json

    config = settings(args)
    if service_runs(config):
        from .context import ask

        answer = ask(config, "POST", "/v1/apply", {"digest": args.digest or ""}, timeout=1800.0)
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
    print(line, file=sys.stderr)


def _say(answer: dict[str, object]) -> None:
    from .output import plain

    for result in answer["results"]:  # type: ignore[attr-defined]
        mark = "done  " if result["ok"] else "FAILED"
        print(f"  {mark} {result['kind']:<8} {plain(result['name'])}  {plain(result.get('error', ''))}".rstrip())
    for refusal in answer["refusals"]:  # type: ignore[attr-defined]
        print(f"REFUSED: {plain(refusal['message'])}\n  {plain(refusal['hint'])}")
    print(
        f"{answer['applied']} applied, {answer['failed']} failed, {answer['unchanged']} unchanged: "
        f"in step with {plain(answer['revision'])[:12]}" if not answer["refused"] else "Nothing has changed."
    )  # fmt: skip

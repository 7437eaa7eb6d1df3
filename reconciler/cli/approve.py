"""Lift the refusal of exactly one plan (its DIGEST), or accept a rewritten history (its commit id).

Who approved, when and why is recorded.
"""

import argparse
import os
import pwd


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("digest", help="the digest or commit id that the refusal names")
    parser.add_argument("--reason", default="", help="why, for the record")


def run(args: argparse.Namespace) -> int:
    from .context import ask, service_runs, settings

    config = settings(args)
    if service_runs(config):
        answer = ask(config, "POST", "/v1/approve", {"digest": args.digest, "reason": args.reason})
        print(answer["message"])
        return 0
    from ..app.oneshot import approve_once

    full = approve_once(config, args.digest, actor(), args.reason)
    print(f"Approved {full}. Apply it:  reconciler apply")
    return 0


def actor() -> str:
    """Who is at the keyboard, as the operating system says."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"

"""Adopt an instance whose identity or database was lost: a fresh ledger in which its containers are ours again.

Nothing is deleted: what is left of the old state is set aside. Nothing that fell due before now is owed. The service
must not be running.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("instance", help="the instance's name, as in the service file")


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from ..app.oneshot import takeover_once
    from .context import settings

    config = replace(settings(args), instance=args.instance)
    for line in takeover_once(config):
        print(line)
    return 0

"""List the owners: members, paths, jobs, what runs now, what they use of their totals, and what they are granted.

Members see their own owners. Who may not read the service file or the state directory asks the running service.
"""

import argparse
from typing import TYPE_CHECKING, Any

from .output import plain, print_json

if TYPE_CHECKING:
    from ..model.service import ServiceConfig

NAMED = 8  # members, paths or names in one line
_WORDS = {"max_resources": "at most", "min_interval": "interval", "external_volumes": "volumes"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import settings

    found = listed(settings(args, asking=True))
    if args.output == "json":
        print_json(found)
        return 0
    print("\n\n".join("\n".join(plain(line) for line in lines(owner)) for owner in found) or "no owners")
    return 0


def listed(config: "ServiceConfig") -> list[dict[str, Any]]:
    """As `app.owners.owners_data`."""
    from ..app.owners import owners_data
    from ..server.remote import RemoteReader
    from .context import ask, ledger

    with ledger(config) as history:
        if not isinstance(history, RemoteReader):
            return owners_data(config, history, lambda _owner: True)
    found: list[dict[str, Any]] = ask(config, "GET", "/v1/owners")["owners"]
    return found


def lines(owner: dict[str, Any]) -> list[str]:
    """One owner, for people."""
    return [
        owner["name"],
        f"  members   {_names(owner['members']) or 'none'}",
        *[f"  key       {key} of {name}" for name, keys in owner.get("signing_keys", {}).items() for key in keys],
        f"  paths     {_names(owner['paths'])}",
        f"  now       {', '.join(_used(owner['total']))}",
        f"  granted   {'; '.join(granted(owner['grants']))}",
    ]


def _names(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _used(total: dict[str, dict[str, Any]]) -> list[str]:
    """`3 of 40 jobs`, `1 running`: what is not limited and not used is left out, but for the first two."""
    said = []
    for name, pair in total.items():
        used, allowed = _say(name, pair["used"]), pair["allowed"]
        if allowed is not None:
            said.append(f"{used} of {_say(name, allowed)} {name}")
        elif name in ("jobs", "running") or pair["used"]:
            said.append(f"{used} {name}")
    return said


def granted(grants: dict[str, Any]) -> list[str]:
    """As `app.owners.grants`, in words."""
    said = []
    for name, value in grants.items():
        word = _WORDS.get(name, name)
        if value is None:
            said += [f"any {name}"] if name == "images" else []
        elif isinstance(value, list):
            said += [f"{word} {_names(value)}"] if value else [f"no {name}"] if name == "images" else []
        elif isinstance(value, dict):
            said.append(f"{word} " + ", ".join(f"{key} {_say(key, one)}" for key, one in value.items()))
        elif value is True:
            said.append(word)
        elif value is not False:
            said.append(f"{word} {_say(name, value)}")
    return said


def _say(name: str, value: float) -> str:
    from ..spec.durations import format_duration, format_size

    if name in ("memory", "shm_size"):
        return format_size(int(value))
    return format_duration(value) if name == "min_interval" else f"{value:g}"

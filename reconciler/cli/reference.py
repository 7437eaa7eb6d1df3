"""Commands, events, importers -> pages of docs/, by `python -m reconciler.cli.reference`."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from ..daemon.events import level_of
from ..importers.reference import import_page
from ..model.event import EventName
from .main import COMMANDS, command, common_options

MADE = "<!-- Made by `python -m reconciler.cli.reference`; do not edit. -->"
DIRECTORY = Path(__file__).resolve().parents[2] / "docs/reference"

ENVIRONMENT = {
    "--config": "RECONCILER_CONFIG", "--source": "RECONCILER_SOURCE", "--ref": "RECONCILER_REF",
    "--path": "RECONCILER_PATH", "--engine": "RECONCILER_ENGINE", "--state-dir": "RECONCILER_STATE_DIR",
}  # fmt: skip

# Lines that only the log has: they speak of this process, not of what happened to jobs.
LOG_LINES = {
    "engine.left-behind": "After a switch of engines the old one could not be tidied. Its standing jobs never start.",
    "event.unrecorded": "An event could not be stored; it was logged all the same.",
    "image.refresh-failed": "`pull_policy` asked for a look at the registry, which failed. What is there stays in use.",
    "loop.failed": "A loop met an expected error outside its own handling; it goes on with back-off.",
    "run.definition-lost": "The definition of an open run is not in the ledger. It goes on under the defaults.",
    "run.unaccounted": "A run of ours was found whose slot belongs to another run. It is left alone.",
    "service.broken": "A fault of ours: the process ends with code 3 and is started anew. Please report it.",
    "service.loop-busy": "A loop did not come to rest in time at the end; it ended with the process.",
    "service.reload-failed": "SIGHUP: the new service file is not in force, the old one is.",
    "service.unfit": "The service cannot work as it is and ends; the line says why.",
    "workspace.left-over": "What a crash has left of a run's workspace cannot be removed. It is tried again hourly.",
}

CLI_HEAD = """\
# The command line

`reconciler COMMAND [options]`. `reconciler COMMAND --help` prints what stands here.

| exit code | |
|---|---|
| 0 | it was done; nothing is wrong |
| 1 | it could not be done, or something is wrong: one line with a code, and a hint ([what they mean](../operate.md)) |
| 2 | the command line or the service file cannot be used as given (`plan`, `validate`: 1; `check`: 3) |
| 2 | `plan`: there are changes; `check`: critical |
| 3 | `serve`: a fault of ours |
| 130 | Ctrl-C |

RUN is a run id (`ml.train-churn.20261124T020000Z.1`), a job (its latest run) or a slot of a job:
`ml/train-churn@02:30`, `@11-24T02:30`, `@2026-11-24T02:30`, in the job's own zone, or with `Z` in UTC.

`-o json` prints JSON with stable keys: instants in UTC, durations in seconds, sizes in bytes. Listings read the state
directory and need no service; `run`, `stop`, `pause` and `resume` ask it over its unix socket. `NO_COLOR` and
`FORCE_COLOR` are heeded.
"""

EVENTS_HEAD = """\
# Events

What happens is one stream: each event is a line of the log (with `JOB` and `RUN` as fields in the journal, so that
`journalctl JOB=data/etl-orders` finds them) and, except for the last table, a row of history that `reconciler show RUN`
prints. A level of `error` is journal priority `err`: `journalctl -u reconciler -p err` is all that went wrong.
"""


def cli_page() -> str:
    """docs/reference/cli.md."""
    parts = [MADE, "", CLI_HEAD, "## Options of every command", "", *_options(common_options(), everywhere=True)]
    parts.append(
        "\nThe command line comes before the environment, that before the service file, that before the default."
    )
    for name in COMMANDS:
        module, parser = command(name)
        own = argparse.ArgumentParser(add_help=False)
        module.add_arguments(own)
        options = list(_options(own))
        parts += ["", f"## {name}", "", f"    reconciler {name} {' '.join(_usage(own))}".rstrip()]
        parts += ["", (parser.description or "").strip(), *(["", *options] if len(options) > 2 else [])]
    return "\n".join(parts) + "\n"


def _usage(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.option_strings:
            yield f"[{action.option_strings[0]}{_value(action)}]"
        else:
            yield {"?": "[{}]", "*": "[{} ...]"}.get(str(action.nargs), "{}").format(_word(action))


def _options(parser: argparse.ArgumentParser, *, everywhere: bool = False) -> Iterator[str]:
    """A Markdown table; `everywhere`: with the environment variable of each option."""
    yield f"| option | {'environment | ' if everywhere else ''}|"
    yield f"|---|{'---|' if everywhere else ''}---|"
    for action in parser._actions:
        names = [f"`{name}`" for name in action.option_strings] or [f"`{_word(action)}`"]
        names[-1] = f"{names[-1][:-1]}{_value(action)}`"
        variable = f"`{ENVIRONMENT[action.option_strings[0]]}` | " if everywhere else ""
        yield f"| {_escaped(', '.join(names))} | {variable}{_escaped(action.help or '')} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _value(action: argparse.Action) -> str:
    return "" if action.nargs == 0 or not action.option_strings else f" {_word(action)}"


def _word(action: argparse.Action) -> str:
    """`FILE`, `JOB` or `text|json`: what stands for the value."""
    if action.choices:
        return "|".join(map(str, action.choices))
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


def events_page() -> str:
    """docs/reference/events.md."""
    parts = [MADE, "", EVENTS_HEAD, "| event | level | |", "|---|---|---|"]
    for name in EventName:
        level = (
            "info, error if it ended badly or its slot was missed" if name is EventName.RUN_FINISHED else level_of(name)
        )
        parts.append(f"| `{name.value}` | {level} | {name.docs} |")
    parts += ["", "Only in the log:", "", "| line | |", "|---|---|"]
    return "\n".join([*parts, *(f"| `{name}` | {said} |" for name, said in LOG_LINES.items())]) + "\n"


PAGES = {"cli.md": cli_page, "events.md": events_page, "../import.md": import_page}


def main() -> None:
    """Write the pages of this checkout."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (DIRECTORY / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""`reconciler COMMAND ...`: finds the command's file, turns expected errors into one line, a hint and an exit code."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from .. import __version__

COMMANDS: dict[str, str] = {
    "init": "scaffold a job repository",
    "import": "write job files from what another scheduler runs",
    "clone": "copy a job file under a new name",
    "adopt": "write a job file from a container that is there",
    "validate": "check job files: every problem of every file at once",
    "lint": "advice on valid job files: moving tags, loose packages, root",
    "plan": "show what would change, and when jobs would fire",
    "apply": "carry the plan out, or exactly the plan DIGEST",
    "approve": "lift the refusal of exactly one plan, or accept a rewritten history",
    "serve": "run the service in the foreground",
    "jobs": "list jobs, worst first",
    "owners": "list owners: members, jobs, totals, grants",
    "secrets": "which secrets jobs name, and whether they are there",
    "policy": "hold a job file against its owner's policy",
    "runs": "list runs and slots of a job",
    "why": "why a slot did, did not or will not run, and what to do",
    "explain": "read a job's schedule and rules aloud",
    "show": "one run in full",
    "logs": "print a run's output",
    "outputs": "list or copy the files that a run has left",
    "run": "start a job by hand",
    "try": "run a job file once that is not committed, and keep nothing",
    "dev": "open a shell in the environment of a job",
    "replay": "run an earlier run exactly again",
    "build": "make an image with a job's packages in it, and print the lines that pin it",
    "backfill": "do slots of the past again",
    "stop": "end a run",
    "discard": "remove the container of a failed run that is kept for debugging",
    "pause": "stop firing a job, or all",
    "resume": "fire again",
    "drain": "start nothing more, for a reboot, and wait for what runs",
    "next": "when a job or a cron line fires next",
    "simulate": "what the jobs would do in a span of time",
    "check": "one line and 0/1/2, as monitoring plugins do",
    "schema": "print a JSON Schema for editors",
    "doctor": "examine this machine and the state directory",
    "takeover": "adopt an instance whose state was lost",
    "version": "print the version",
}

_MODULES = {"import": "import_files", "try": "trial"}  # Python's words
EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPT = 1, 2, 130
_USAGE = {"check": 3, "plan": EXIT_ERROR, "validate": EXIT_ERROR}  # to their readers 2 means CRITICAL, or "changes"


class Help(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal, without argparse's own way to ask: it imports all of shutil, and compressors with it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:  # no terminal
        return 80


class Parser(argparse.ArgumentParser):
    """argparse, except that a wrong command line is an error like any other: one line, a code, a hint."""

    def error(self, message: str) -> NoReturn:
        from ..model.errors import UsageError

        raise UsageError(f"cannot read the command line: {message}", hint=f"{self.prog} --help")


def overview() -> argparse.ArgumentParser:
    """What `reconciler --help` prints."""
    width = max(map(len, COMMANDS)) + 2
    listing = "\n".join(f"  {name:<{width}}{about}" for name, about in COMMANDS.items())
    parser = Parser(
        prog="reconciler",
        description="A git push becomes scheduled containers.",
        epilog=f"commands:\n{listing}\n\n'reconciler COMMAND --help' tells more of one.",
        formatter_class=Help,
        usage="reconciler COMMAND [options]",
    )
    parser.add_argument("--version", action="version", version=f"reconciler {__version__}")
    return parser


def common_options() -> argparse.ArgumentParser:
    """The options that every command takes."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("where things are (each has an environment variable RECONCILER_...)")
    group.add_argument("--config", metavar="FILE", help="service file (default /etc/reconciler/reconciler.yaml)")
    group.add_argument("--source", metavar="URL", help="git repository of job files: a path or URL")
    group.add_argument("--ref", metavar="REF", help="branch, tag or commit")
    group.add_argument(
        "--path",
        metavar="DIR",
        action="append",
        help="jobs directory inside it; repeat it (in the variable: colons between them)",
    )
    group.add_argument("--engine", metavar="ENGINE", help="docker, process, memory or auto")
    group.add_argument("--state-dir", metavar="DIR", help="where the service keeps its state")
    return parser


def command(name: str) -> tuple[ModuleType, argparse.ArgumentParser]:
    """The command's module and its parser."""
    module = importlib.import_module(f"{__package__}.{_MODULES.get(name, name)}")
    parser = Parser(
        prog=f"reconciler {name}", description=module.__doc__, parents=[common_options()],
        formatter_class=Help, conflict_handler="resolve",  # a command may have a meaning of its own for one of them
    )  # fmt: skip
    module.add_arguments(parser)
    return module, parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; never a traceback for what a person can mend."""
    args = list(sys.argv[1:] if argv is None else argv)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # `reconciler jobs >&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  # until the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names and logs hold what this terminal may not know
    if args[:1] == ["help"]:
        args = [*args[1:2], "--help"]
    return _guarded(args)


def _dispatch(args: list[str]) -> int:
    if not args or args[0].startswith("-"):
        overview().parse_args(args)
        overview().print_help()
        return EXIT_USAGE
    if args[0] not in COMMANDS:
        _unknown(args[0])
    module, parser = command(args[0])
    code: int = module.run(parser.parse_args(args[1:]))
    return code


def _unknown(name: str) -> NoReturn:
    import difflib

    from ..model.errors import UsageError

    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {near[0]!r}?" if near else "'reconciler --help' lists the commands"
    raise UsageError(f"cannot run command {name!r}: there is none of this name", hint=hint)


def _guarded(args: list[str]) -> int:
    try:
        code = _dispatch(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `reconciler runs | head`
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPT
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        _say(f"cannot finish {' '.join(['reconciler', *args[:1]])!r}: {what}{error.strerror or error}", "io-error",
             "look at that file or folder, its owner and the room on its disk")  # fmt: skip
        return EXIT_ERROR
    except Exception as error:  # the error types are loaded only when one is met; others go on their way
        from ..model.errors import ReconcilerError, UsageError

        if not isinstance(error, ReconcilerError):
            raise
        hint = error.hint
        if not hint and error.code == UsageError.code and args[:1] and args[0] in COMMANDS:
            hint = f"reconciler {args[0]} --help"
        _say(str(error), error.code, hint)
        if not isinstance(error, UsageError):
            return EXIT_ERROR
        return _USAGE.get(args[0] if args else "", EXIT_USAGE)
    return code


def _say(message: str, code: str, hint: str) -> None:
    from .output import plain

    print(f"reconciler: {plain(message)} [{code}]", file=sys.stderr)
    if hint:
        print(f"  {plain(hint)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

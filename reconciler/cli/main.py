"""`reconciler COMMAND ...`: finds the command's file, turns expected errors into one line and an exit code."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from .. import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "scaffold a job repository"),
    "validate": ("validate", "check job files: every problem of every file at once"),
    "plan": ("plan", "show what would change, and when jobs would fire"),
    "apply": ("apply", "carry the plan out, or exactly the plan DIGEST"),
    "approve": ("approve", "lift the refusal of exactly one plan, or accept a rewritten history"),
    "serve": ("serve", "run the service in the foreground"),
    "jobs": ("jobs", "list jobs, worst first"),
    "runs": ("runs", "list runs and slots of a job"),
    "show": ("show", "one run in full"),
    "logs": ("logs", "print a run's output"),
    "run": ("run", "start a job by hand"),
    "stop": ("stop", "end a run"),
    "pause": ("pause", "stop firing a job, or all"),
    "resume": ("resume", "fire again"),
    "next": ("next", "when a job or a cron line fires next"),
    "check": ("check", "one line and 0/1/2, as monitoring plugins do"),
    "schema": ("schema", "print a JSON Schema for editors"),
    "doctor": ("doctor", "examine this machine and the state directory"),
    "takeover": ("takeover", "adopt an instance whose state was lost"),
    "version": ("version", "print the version"),
}

EXIT_ERROR, EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPT = 1, 2, 3, 130


def _parser() -> argparse.ArgumentParser:
    width = max(len(name) for name in COMMANDS) + 2
    listing = "\n".join(f"  {name:<{width}}{about}" for name, (_, about) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="reconciler",
        description="A git push becomes scheduled containers.",
        epilog=f"commands:\n{listing}\n\n'reconciler COMMAND --help' tells more of one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    group.add_argument("--path", metavar="DIR", action="append", help="jobs directory inside it; may be repeated")
    group.add_argument("--engine", metavar="ENGINE", help="docker, process, memory or auto")
    group.add_argument("--state-dir", metavar="DIR", help="where the service keeps its state")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; never a traceback for what a person can mend."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0].startswith("-"):
        _parser().parse_args(args)
        _parser().print_help()
        return EXIT_USAGE if not args else 0
    name = args[0]
    if name == "help":
        return main([*args[1:2], "--help"])
    if name not in COMMANDS:
        return _unknown(name)
    module = importlib.import_module(f"{__package__}.{COMMANDS[name][0]}")
    parser = argparse.ArgumentParser(
        prog=f"reconciler {name}", description=module.__doc__, parents=[common_options()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    module.add_arguments(parser)
    return _guarded(module.run, parser.parse_args(args[1:]))


def _unknown(name: str) -> int:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"; did you mean {near[0]!r}?" if near else "; 'reconciler --help' lists them"
    print(f"reconciler: unknown command {name!r}{hint}", file=sys.stderr)
    return EXIT_USAGE


def _guarded(run: Callable[[argparse.Namespace], int], parsed: argparse.Namespace) -> int:
    from ..model.errors import ReconcilerError, UsageError

    try:
        return run(parsed)
    except BrokenPipeError:  # `reconciler runs | head`
        sys.stdout = None  # type: ignore[assignment]
        return 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPT
    except ReconcilerError as error:
        print(f"reconciler: {error} [{error.code}]", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())

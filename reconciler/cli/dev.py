"""Open a shell in exactly the environment of a job: its image, packages, code, user, working directory, variables,
volumes, networks and limits. It goes by way of the running service: access to Docker is not needed.

The shell is the image's bash, else its sh; what comes before the job's command (`start_script`, packages that are
installed at the start) comes before it. It waits for no run of the job, and none waits for it. It has none of the job's
secrets, unless --with-secrets; who had which is recorded. It ends with --for or `limits.dev_timeout`, and half a minute
after this command has gone. Nothing of it is kept.

With --jupyter it is a notebook, where the image has Jupyter: its address, with a token, is one of this host's loopback.

Without a terminal the commands on standard input are carried out: echo 'pip freeze' | reconciler dev JOB

Enter ~ . leaves it from outside, as ssh has it, should the service hang: the shell is ended.

When it is left, what was installed by hand (pip, apt) is told as lines for the job's `packages`. On a terminal they are
written into the job's file if you say so: FILE, or the one in the work tree here. Exit code: the shell's own.
"""

import argparse
import sys
import time
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any

from ..model.errors import ReconcilerError, StateError, UsageError
from ..model.run import FailureClass, Phase, RunRecord
from ..model.service import ServiceConfig
from .dev_packages import tell
from .trial import forget

PAUSE = 0.1  # seconds between two looks
AWAY_LONG = 30.0  # seconds without the service; by then it has ended the shell
SETTLED = 5.0  # seconds from the end of the streams to the end of the run
WAITS = (Phase.PENDING, Phase.PREPARING, Phase.STARTING)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="a job that is applied")
    parser.add_argument("--for", metavar="DURATION", dest="duration", help="at most so long, such as 2h")
    parser.add_argument("--with-secrets", action="store_true", help="with the job's secrets; that is recorded")
    parser.add_argument("--jupyter", action="store_true", help="a notebook instead, at an address of this host alone")
    parser.add_argument("--param", metavar="NAME=VALUE", action="append", default=[], help="a parameter; repeat it")
    parser.add_argument(
        "--ref", metavar="BRANCH", action="append", default=[], dest="refs",
        help="code of this branch, tag or commit; TARGET=BRANCH where the job has several repositories",
    )  # fmt: skip
    parser.add_argument("--file", metavar="FILE", help="the job's file (default: found below a configured path here)")
    parser.set_defaults(ref=None)  # where the jobs come from is the service's business


def run(args: argparse.Namespace) -> int:
    from .context import ask, settings
    from .run import exit_code, pairs
    from .terminal import is_here

    config, is_tty = settings(args, asking=True), is_here()
    if args.file and not Path(args.file).is_file():
        raise UsageError(f"cannot write into {args.file}: no such file", code="source-not-found",
                         hint="FILE is the job's file")  # fmt: skip
    body = {"job": args.job, "tty": is_tty, "seconds": _seconds(args.duration), "secrets": args.with_secrets,
            "jupyter": args.jupyter,
            "parameters": pairs(args.param), "refs": args.refs}  # fmt: skip
    opened = ask(config, "POST", "/v1/dev", body)
    run_id = opened["run_id"]
    _say_opening(args.job, opened, is_tty=is_tty)
    try:
        final = _session(config, run_id, is_tty=is_tty, notebook=args.jupyter)
    except BaseException:
        _end(config, run_id)
        raise
    _say_end(final)
    try:
        tell(config, final, args.job, args.file, ask=is_tty)
    finally:
        forget(config, final.run_id)
    return exit_code(final)


def _seconds(said: str | None) -> int | None:
    from ..spec.durations import parse_duration

    if said is None:
        return None
    try:
        return ceil(parse_duration(said))
    except ValueError as error:
        raise UsageError(f"cannot read --for {said!r}: it is {error}", hint="for example 2h or 90m") from None


def _say_opening(job: str, opened: dict[str, Any], *, is_tty: bool) -> None:
    from .output import plain, took

    if is_tty:
        print(
            f"A shell in {plain(job)}, for at most {took(opened['seconds'])}. Nothing of it is kept.", file=sys.stderr
        )
    if opened["without"]:
        names = plain(", ".join(opened["without"]))
        print(f"It has none of the job's secrets ({names}): --with-secrets", file=sys.stderr)


def _say_end(final: RunRecord) -> None:
    """A shell's own exit code says all; of anything else there is a reason."""
    from .output import plain
    from .records import result

    if final.phase is not Phase.SUCCEEDED and final.failure is not FailureClass.EXIT:
        print(plain(result(final)[0]), file=sys.stderr)


# -- from its start to its end ---------------------------------------------------------------------------------


def _session(config: ServiceConfig, run_id: str, *, is_tty: bool, notebook: bool) -> RunRecord:
    """The run when it has ended and its notes are there."""
    from .terminal import ending

    record = _await_start(config, run_id)
    if notebook and record.active:
        _say_address(config, record.run_id)
    while record.active:
        with ending():
            _talk(config, record.run_id, is_tty=is_tty)
        record = _await_end(config, record.run_id)
    return _settled(config, record)


def _await_start(config: ServiceConfig, run_id: str) -> RunRecord:
    """Tells what it waits for, each once."""
    from .context import Presence, ledger
    from .output import plain, working

    presence, told = Presence(config), ""
    with ledger(config) as history, working("the shell is made ready: image, packages, code"):
        while True:
            record = _known(history.run(run_id), run_id)
            if record.superseded_by:
                run_id = record.superseded_by
            elif record.phase not in WAITS:
                return record
            elif record.reason not in ("", told):
                told = record.reason
                print(plain(told), file=sys.stderr)
            presence.check()
            time.sleep(PAUSE)


def _say_address(config: ServiceConfig, run_id: str) -> None:
    from .context import ask
    from .output import plain

    url = ask(config, "POST", "/v1/dev/notebook", {"run_id": run_id})["url"]
    if url:
        print(f"The notebook will be at {plain(url)}", file=sys.stderr)


def _known(record: RunRecord | None, run_id: str) -> RunRecord:
    if record is None:
        raise StateError(f"cannot tell how {run_id} is: history has dropped it", code="run-unknown")
    return record


def _talk(config: ServiceConfig, run_id: str, *, is_tty: bool) -> None:
    """Until the shell's streams have ended. A service that is restarted meanwhile is waited for, and Ctrl-C leaves: all
    keys are the shell's only while there is a connection to it."""
    from ..daemon.settings import socket_path
    from ..server.client import upgrade
    from .context import AWAY, ask
    from .terminal import raw, resized, size_here, talk

    def resize() -> None:
        size = size_here() if is_tty else None
        if size is not None:
            with suppress(ReconcilerError):  # it has just ended
                ask(config, "POST", "/v1/dev/resize", {"run_id": run_id, "rows": size[0], "columns": size[1]}, 5.0)

    seen, told = time.monotonic(), not is_tty
    with resized() as news:
        while True:
            try:
                connection = upgrade(socket_path(config), "/v1/dev/attach", {"run_id": run_id})
            except ReconcilerError as error:
                if error.code in ("run-ended", "run-unknown"):
                    return
                if error.code not in AWAY or time.monotonic() - seen > AWAY_LONG:
                    raise
                if not told:
                    print("\nThe service does not answer. It is waited for; Ctrl-C leaves.", file=sys.stderr)
                told = True
                time.sleep(PAUSE)
                continue
            with connection:
                resize()
                with raw(is_tty):
                    ended = talk(connection, is_tty=is_tty, news=news, resize=resize)
                if ended:
                    return
            seen = time.monotonic()


def _await_end(config: ServiceConfig, run_id: str) -> RunRecord:
    """Its streams have ended, so it will soon, unless they were cut: then it is still active after a while."""
    from .context import ledger

    until = time.monotonic() + SETTLED
    with ledger(config) as history:
        while True:
            record = _known(history.run(run_id), run_id)
            if not record.active or time.monotonic() > until:
                return record
            time.sleep(PAUSE)


def _settled(config: ServiceConfig, record: RunRecord) -> RunRecord:
    from .context import Presence, ledger

    presence = Presence(config)
    with ledger(config) as history:
        while record.started_at is not None and not record.collected:
            presence.check()
            time.sleep(PAUSE)
            record = _known(history.run(record.run_id), record.run_id)
    return record


def _end(config: ServiceConfig, run_id: str) -> None:
    """This command is on its way out: so is the shell. If the service is away, it ends it by itself."""
    from .context import AWAY, ask

    try:
        ask(config, "POST", "/v1/runs/stop", {"run_id": run_id, "reason": "its client was ended"}, 5.0)
    except ReconcilerError as error:
        if error.code in AWAY:
            return
    forget(config, run_id)

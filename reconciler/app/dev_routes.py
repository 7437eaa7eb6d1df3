"""The routes of `reconciler dev`: a shell in the environment of a job, whose terminal is the client's connection."""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Event

from ..daemon.operators import Operators
from ..daemon.terminals import Terminals
from ..daemon.trials import DevAsked
from ..engine.base import Engine, no_terminals
from ..history.base import Reader
from ..model.errors import NotAllowed, Permanent, ReconcilerError
from ..model.run import RunRecord, Trigger
from ..model.terminal import Terminal
from ..server import api
from ..server.exchange import Handlers, Request, Response, switch
from ..server.relay import relay
from ..spec.interactive import JUPYTER_PORT
from .authority import Authority

LARGEST = 4096  # rows or columns of a terminal
EVERY = 5.0  # seconds between two looks for shells that were left


def dev_routes(
    operators: Operators, authority: Authority, history: Reader, engine: Engine, terminals: Terminals
) -> Handlers:
    """Handlers by (method, path)."""

    def open_shell(request: Request) -> Response:
        asked = api.DevOpen.from_data(request.body)
        actor = authority.for_job(request.peer, asked.job, "open a shell in")
        if not engine.terminals:
            raise no_terminals(engine.name)
        if asked.jupyter and not engine.shares_host:
            raise Permanent("cannot open a notebook: its address would be one of the Engine's host, which is another",
                            code="dev-unsupported", hint="without --jupyter it is a shell")  # fmt: skip
        terminals.check_room(_member(request, actor))
        wanted = DevAsked(
            Terminal(asked.tty, JUPYTER_PORT if asked.jupyter else 0),
            asked.seconds,
            asked.secrets,
            asked.parameters,
            asked.refs,
        )
        run, seconds, without = operators.open_dev(asked.job, actor, wanted)
        return Response(api.DevOpened(run.run_id, round(seconds), without).to_data())

    def own(request: Request, run_id: str, deed: str) -> tuple[RunRecord, str]:
        """The run and who asks. It belongs to who started it; administrators may."""
        run = history.run(run_id)
        if run is None or run.trigger is not Trigger.DEV:
            raise Permanent(f"cannot {deed} {run_id}: there is no such shell", code="run-unknown")
        actor = authority.for_job(request.peer, run.job, deed)
        if actor != run.actor and not request.peer.admin:
            raise NotAllowed(f"cannot {deed} {run_id}: it is {run.actor}'s", hint="open your own: reconciler dev JOB")
        return run, actor

    def attach(request: Request) -> Response:
        run, actor = own(request, api.DevAttach.from_data(request.body).run_id, "attach to")
        if not run.active and not terminals.knows(run.run_id):
            raise Permanent(f"cannot attach to {run.run_id}: it has ended ({run.phase.value})", code="run-ended")
        line = terminals.take(run.run_id, run.ref, _member(request, actor))

        def over() -> bool:  # one that is asked to end, too: the Engine tells no end while its output is not taken
            with suppress(ReconcilerError):  # the ledger cannot be read: the next look tells
                now = history.run(run.run_id)
                return now is None or not now.active or now.stop_requested_at is not None
            return False

        def talk(connection: socket.socket, stopping: Callable[[], bool]) -> None:
            ended = False
            try:
                switch(connection)
                ended = relay(connection, line, stopping, over)
            finally:
                terminals.leave(run.run_id, ended=ended or over())

        try:
            operators.sits_down(run, actor)
        except BaseException:  # nobody will talk, so nobody would leave it
            terminals.leave(run.run_id)
            raise
        return Response(talk=talk)

    def resize(request: Request) -> Response:
        asked = api.DevResize.from_data(request.body)
        run, _ = own(request, asked.run_id, "resize the terminal of")
        if not (0 < asked.rows <= LARGEST and 0 < asked.columns <= LARGEST):
            raise api.ApiError(f"cannot read the request: no terminal is {asked.columns} x {asked.rows}")
        engine.resize(run.run_id, run.ref, asked.rows, asked.columns)
        return Response(api.Done("resized").to_data())

    def notebook(request: Request) -> Response:
        run, _ = own(request, api.DevNotebook.from_data(request.body).run_id, "open the notebook of")
        inner = Terminal.parse(run.cause).port
        port = engine.published(run.run_id, run.ref, inner) if inner else None
        url = f"http://127.0.0.1:{port}/?token={terminals.token(run.run_id)}" if port is not None else ""
        return Response(api.Notebook(url).to_data())

    return {
        ("POST", "/v1/dev"): open_shell,
        ("POST", "/v1/dev/notebook"): notebook,
        ("POST", "/v1/dev/attach"): attach,
        ("POST", "/v1/dev/resize"): resize,
    }


def _member(request: Request, actor: str) -> str | None:
    """As `Terminals` names who asks."""
    return None if request.peer.admin else actor


def end_alone(stop: Event, history: Reader, operators: Operators, terminals: Terminals) -> None:
    """Until `stop`: end shells whose client does not come back, those of an earlier process too. Of one that was
    started and could not be recorded before the end of that process it is known a while later that it has."""
    while True:
        with suppress(ReconcilerError):  # the ledger cannot be read: look again
            for left in history.active_runs():
                if left.trigger is Trigger.DEV and left.started_at is not None:
                    terminals.expect(left.run_id)
        for run_id in terminals.alone():
            with suppress(ReconcilerError):  # the loop is busy, or it is just going: look again
                _end(run_id, history, operators, terminals)
        if stop.wait(EVERY):
            return


def _end(run_id: str, history: Reader, operators: Operators, terminals: Terminals) -> None:
    run = history.run(run_id)
    if run is None:
        terminals.close(run_id)
    elif run.active:
        operators.stop_run(run_id, "the service", "its client has gone")
        terminals.let_go(run_id)
    else:
        operators.forget_trial(run_id)

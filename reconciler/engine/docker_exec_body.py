"""In: an order for a command in a container that is there. Out: the body of the exec request, and what it is made of.

The command waits behind a few words of shell until it is told to go, on its standard input. Nothing that the Engine
does late, after whoever asked for it has died, lets it go: the input ends then, and so does the wait (rule R1).
"""

import hashlib

from ..spec.argv import final_argv
from .base import EngineContext, RunOrder

Body = dict[str, object]

READY, GO = b"[reconciler] ready\n", b"go\n"
NOT_TOLD = 125  # exit code of a wait that ended without a word
GATE = f"""echo "{READY.decode().strip()}"
IFS= read -r word && [ "$word" = "{GO.decode().strip()}" ] || exit {NOT_TOLD}
exec "$@" </dev/null"""
# Every process of a run has its mark, wherever it went. A signal goes to the groups of all of them, to each group once:
# no group has processes of others in it, for the Engine begins a session with each command.
MARK = "RECONCILER_EXEC"
SIGNAL = rf"""groups=' '
for p in /proc/[0-9]*; do
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in *"{MARK}=$2"*)
      read -r stat <"$p/stat"
      set -- "$1" "$2" ${{stat##*) }}
      case $groups$5 in *" $5 "* | *[!0-9\ ]*) ;; *) groups="$groups$5 " ;; esac
      break ;;
    esac
  done <"$p/environ"
done 2>/dev/null
for group in $groups; do kill -s "$1" -- "-$group"; done 2>/dev/null
:"""
_ARGV0 = "reconciler"


def mark_of(context: EngineContext, run_id: str) -> str:
    """What no run of another instance in the same container bears."""
    return hashlib.sha256(f"{context.instance_id}/{run_id}".encode()).hexdigest()[:32]


def exec_body(order: RunOrder, mark: str) -> Body:
    """The request that makes the command of a run ready in its container."""
    spec = order.spec
    variables = {**dict(order.environment), MARK: mark}
    body: Body = {
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": ["sh", "-c", GATE, _ARGV0, *(final_argv(spec) or ())],
        "Env": [f"{name}={value}" for name, value in variables.items()],
    }
    if spec.user is not None:
        body["User"] = spec.user
    if spec.working_dir is not None:
        body["WorkingDir"] = spec.working_dir
    return body


def signal_body(name: str, mark: str, user: str) -> Body:
    """The request that sends a signal to all that bears the mark, as the user whose it is; "" = the container's own."""
    body: Body = {"Cmd": ["sh", "-c", SIGNAL, _ARGV0, name, mark]}
    return {**body, "User": user} if user else body

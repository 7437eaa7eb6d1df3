"""In: a job whose environment somebody wants a shell in. Out: what its container runs instead of the job's command,
and what has been installed by hand, read from the notes that this makes.

The shell is found in the image: bash, else sh. Before it come the phases that come before the job's command; one that
fails is said, and the shell opens all the same. What is installed is noted before and after the shell, in two files of
a directory that the engine keeps as it keeps outputs, so that nothing but the shell writes to the terminal.
"""

import re
from dataclasses import dataclass

from ..model.job import JobSpec
from ..model.terminal import Terminal
from .argv import PIPEFAIL, phases
from .packages import REPORT

BEFORE, AFTER = ".installed-before", ".installed-after"  # in the directory that the run's `outputs` names
MANAGERS = ("pip", "apt")
MOST_BYTES = 1 << 20  # read of each of the two
_MANUAL = "manual"  # what apt was asked for by name
_PACKAGE = {
    "pip": re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==([A-Za-z0-9.!+_-]+)\Z"),
    "apt": re.compile(r"([a-z0-9][a-z0-9+.-]*)=([A-Za-z0-9.+:~-]+)\Z"),
}
_LIST = f"""python=$(command -v python3 || command -v python) && {{
  echo '{REPORT} pip'
  "$python" -m pip list --format=freeze --disable-pip-version-check --no-input
}}
command -v dpkg-query >/dev/null && {{
  echo '{REPORT} apt'
  dpkg-query -W -f '${{Package}}=${{Version}}\\n'
}}
command -v apt-mark >/dev/null && {{
  echo '{REPORT} {_MANUAL}'
  apt-mark showmanual
}}
:"""
# $1 is where notes go, $2 how to make them, $3 how many phases there are; then name and script of each; the command.
# An interrupt is the command's: the wrapper outlives it, to make its notes.
_WRAPPER = f"""notes=$1; list=$2; n=$3; shift 3; trap : INT
note() {{
  {{ sh -c "$list" </dev/null >"$notes/$1"; }} 2>/dev/null
}}
while [ "$n" -gt 0 ]; do
  echo "[reconciler] $1"
  sh -eu -c "$2" </dev/null || echo "[reconciler] $1 failed with exit code $?"
  shift 2; n=$((n - 1))
done
note {BEFORE}
"$@"
code=$?
note {AFTER}
exit "$code\""""
JUPYTER_PORT, JUPYTER_TOKEN = 8888, "JUPYTER_TOKEN"  # the variable is Jupyter's own
# The variable alone is what Jupyter begins with: a settings file of the image could say that there is no token, and
# every user of the host reaches the port. This file is read instead of the server's in the image and last of all; the
# token is not in it, and must not be among the arguments either, which every user of the host can list.
_SETTINGS = f"""import os
token = os.environ["{JUPYTER_TOKEN}"]
for name in ("ServerApp", "IdentityProvider", "PasswordIdentityProvider", "NotebookApp"):
    c[name].token = token
c.ServerApp.password = c.NotebookApp.password = c.PasswordIdentityProvider.hashed_password = ""
c.ServerApp.identity_provider_class = "jupyter_server.auth.identity.PasswordIdentityProvider"
"""
# As whoever the job is, root too; at another port nobody would find it.
_JUPYTER = f"""command -v jupyter >/dev/null 2>&1 || {{ echo "the image has no jupyter" >&2; exit 127; }}
settings=$(mktemp -d)/settings.py && cat >"$settings" <<'END' || {{ echo "no place for its settings" >&2; exit 126; }}
{_SETTINGS}END
kind=notebook
if jupyter lab --version >/dev/null 2>&1 </dev/null; then kind=lab; fi
exec jupyter "$kind" --no-browser --allow-root --ip=0.0.0.0 --port={JUPYTER_PORT} --ServerApp.port_retries=0 \\
  --config="$settings\""""
_SHELL = "if command -v bash >/dev/null 2>&1; then exec bash; fi; exec sh"


def interactive_argv(spec: JobSpec, terminal: Terminal) -> tuple[str, ...]:
    """A terminal with a port is a notebook's."""
    before = phases(spec)
    pairs = [part for name, script in before for part in (name, PIPEFAIL + script)]
    return ("sh", "-c", _WRAPPER, "reconciler", spec.outputs, _LIST, str(len(before)), *pairs, "sh", "-c",
            _JUPYTER if terminal.port else _SHELL)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One package that is otherwise after the shell. `was`, `now`: its version, "" = it was or is not there."""

    manager: str
    name: str
    was: str
    now: str

    @property
    def line(self) -> str:
        """As a job file's `packages` names it."""
        return f"{self.name}{'==' if self.manager == 'pip' else '='}{self.now}"

    def __str__(self) -> str:
        """`pip: + rich==13.9.4`, `apt: ~ jq 1.6 -> 1.7`, `pip: - six 1.16`."""
        if not self.was:
            return f"{self.manager}: + {self.line}"
        return f"{self.manager}: - {self.name} {self.was}" if not self.now else (
            f"{self.manager}: ~ {self.name} {self.was} -> {self.now}"
        )  # fmt: skip


def installed_by_hand(before: bytes, after: bytes) -> tuple[Change, ...]:
    """What the notes tell; () if one of them was not made. They are the job's: only what reads as a package counts. Of
    apt only what was asked for by name, where apt tells that: what it needs comes by itself."""
    old, new = _read(before), _read(after)
    if not old or not new:
        return ()
    found = []
    for manager in MANAGERS:
        was, now = old.get(manager, {}), new.get(manager, {})
        asked = new.get(_MANUAL) if manager == "apt" else None
        for name in sorted({*was, *now}):
            one = Change(manager, name, was.get(name, ""), now.get(name, ""))
            if one.was != one.now and (asked is None or name in asked or not one.now):
                found.append(one)
    return tuple(found)


def _read(notes: bytes) -> dict[str, dict[str, str]]:
    """Versions by name by manager."""
    found: dict[str, dict[str, str]] = {}
    packages: dict[str, str] = {}
    kind = ""
    for line in notes[:MOST_BYTES].decode("utf-8", "replace").splitlines():
        if line.startswith(f"{REPORT} "):
            kind = line.removeprefix(f"{REPORT} ")
            packages = found.setdefault(kind, {})
        elif kind == _MANUAL:
            packages[line] = line
        elif kind in _PACKAGE and (match := _PACKAGE[kind].match(line)) is not None:
            packages[match[1]] = match[2]
    return found

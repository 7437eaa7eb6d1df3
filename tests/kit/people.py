"""Commands as another user of this machine: everything is imported with root's rights, then a child gives them up."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.kit.nobody import needs_root as needs_root

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 100.0  # seconds that anything may take on a busy machine
ANNA, TOM, EVE = "daemon", "games", "nobody"  # accounts that every Debian has

# In: command lines. Out: exit code, standard output and error of each, as JSON. One set of imports for all.
_CHILD = """
import _strptime, encodings.idna, importlib, json, os, pkgutil, pwd, sys, tempfile
import reconciler
from reconciler.cli.main import main
for found in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
    if not found.name.endswith("__main__") and ".engine.docker" not in found.name:
        importlib.import_module(found.name)
user = pwd.getpwnam(sys.argv[1])

def become(words):
    os.setgroups([])
    os.setresgid(*[user.pw_gid] * 3)
    os.setresuid(*[user.pw_uid] * 3)
    os.environ["HOME"] = "/nonexistent"
    try:
        code = main(words)
        sys.stdout.flush()
    except SystemExit as end:
        code = end.code
    os._exit(code)

if len(sys.argv) > 2:
    become(sys.argv[2:])
told = []
for words in json.load(sys.stdin):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            become(words)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0), err.seek(0)
        told.append([code, out.read().decode(), err.read().decode()])
json.dump(told, sys.stdout)
"""


class Said(NamedTuple):
    """What became of one command."""

    code: int
    out: str
    err: str


def argv_as(account: str, words: Sequence[str]) -> list[str]:
    """A command line that runs `reconciler WORDS` as this account."""
    return [sys.executable, "-c", _CHILD, account, *words]


def run_as(account: str, *commands: Sequence[str]) -> list[Said]:
    """Each command after the other."""
    done = subprocess.run(
        argv_as(account, ()), input=json.dumps(commands), capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT
    )
    assert done.returncode == 0, done
    return [Said(*told) for told in json.loads(done.stdout)]

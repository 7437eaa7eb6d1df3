"""In: the packages that a job asks for. Out: the shell script that installs them, the one that tells what is there, and
the name of the content.

Each manager runs with what the image configures, and with `packages.environment` of the service file.
"""

import hashlib
import json
import shlex
from dataclasses import asdict

from ..model.job import Packages

RECIPE = "1"  # of the scripts below: another one makes other images
PHASE = "packages"
REPORT = "[reconciler] installed"

_PYTHON = 'python=$(command -v python3 || command -v python) || { echo "the image has no python" >&2; exit 127; }\n'
_CONDA = ('conda=$(command -v mamba || command -v micromamba || command -v conda) || '
          '{ echo "the image has no conda" >&2; exit 127; }\n')  # fmt: skip
_CRAN = ('local_repository="${CRAN_MIRROR:?give packages.environment a CRAN_MIRROR in the service file}"\n'
         'export local_repository\n')  # fmt: skip


def install_script(packages: Packages) -> str:
    """For `sh -eu`. System packages first, so that what is built by the others finds them."""
    parts = []
    if packages.apt:
        names = shlex.join(packages.apt)
        parts.append(
            "export DEBIAN_FRONTEND=noninteractive\n"
            "apt-get -qq -o APT::Sandbox::User=root update\n"
            f"apt-get -qq -y -o APT::Sandbox::User=root install --no-install-recommends -- {names}\n"
            "rm -rf /var/lib/apt/lists/*\n"
        )
    if packages.conda:
        parts.append(_CONDA + f'"$conda" install --yes --quiet {_words(packages.conda)}\n')
    if packages.pip:
        lines = shlex.join(packages.pip)
        parts.append(
            _PYTHON + "list=$(mktemp)\n" + f"printf '%s\\n' {lines} > \"$list\"\n"
            '"$python" -m pip install --no-input --disable-pip-version-check --no-cache-dir --root-user-action=ignore '
            '-r "$list"\nrm -f "$list"\n'
        )
    if packages.cran:
        names = ", ".join(json.dumps(name) for name in packages.cran)
        call = (f'options(warn = 2); install.packages(c({names}), repos = Sys.getenv("local_repository")); '
                f"for (name in c({names})) library(name, character.only = TRUE)")  # fmt: skip
        parts.append(_CRAN + f"Rscript -e {shlex.quote(call)}\n")
    return "".join(parts)


def report_script(packages: Packages) -> str:
    """Prints what is really installed, by manager; what a manager cannot tell is left out."""
    parts = []
    if packages.pip:
        parts.append(
            _told("pip", '"$(command -v python3 || command -v python)" -m pip freeze --disable-pip-version-check')
        )
    if packages.conda:
        parts.append(_told("conda", '"$(command -v mamba || command -v micromamba || command -v conda)" list --export'))
    if packages.apt:
        parts.append(_told("apt", "dpkg-query -W -f '${Package}=${Version}\\n'"))
    if packages.cran:
        call = 'm <- installed.packages()[, c("Package", "Version")]; cat(paste0(m[, 1], "=", m[, 2]), sep = "\\n")'
        parts.append(_told("cran", f"Rscript -e {shlex.quote(call)}"))
    return "".join(parts)


def content_key(base_id: str, owner: str, packages: Packages) -> str:
    """64 hex digits: the same base image and packages of the same owner are the same environment. What an owner's
    packages do when they are installed is the owner's own affair, so owners share none."""
    said = json.dumps([RECIPE, base_id, owner, asdict(packages)], sort_keys=True)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def packages_key(packages: Packages) -> str:
    """The same of the packages alone."""
    said = json.dumps([RECIPE, asdict(packages)], sort_keys=True)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _told(manager: str, call: str) -> str:
    return f"echo '{REPORT} {manager}'\n{call} 2>/dev/null || true\n"


def _words(specs: tuple[str, ...]) -> str:
    """No `--` here: conda has none. The schema lets no name begin with a dash."""
    return shlex.join(specs)

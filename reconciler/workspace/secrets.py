"""A job's `secrets:` -> files in memory for one run, bound read-only into it, and variables where policy allows.

Values are read when a run is made ready, and once more if that is done again. All of a run's values lie in its
directory, those of variables too, which no run sees: so that a service that was started anew knows what to mask.
"""

import errno
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..model.disk import refused
from ..model.errors import Permanent, ReconcilerError, StateError
from ..model.job import JobSpec, SecretRef
from ..model.run import RunRecord
from ..model.secret import Secret
from ..model.service import ServiceConfig
from ..model.workspace import NOTHING, Bind, Workspace
from ..spec.admission import may_have_secret
from . import memory_place
from .names import place_name
from .sealed import unseal
from .stores import open_store

VARIABLE = "env"  # stands where a file's mode would
MAX_VARIABLE = 128 * 1024 - 256  # bytes: the kernel's bound for one, its name left out


@dataclass(frozen=True, slots=True)
class Reader:
    """Who must be able to read a run's files; -1 = leave it. `walks`: on its own way from the root of the host, and
    not through a container's mount."""

    uid: int = -1
    gid: int = -1
    walks: bool = False


class Secrets:
    """A Part. `places`: where runs' secrets may lie, the first in memory counts; `reader` says whose files they are;
    `given` hears of job, run and values."""

    def __init__(
        self, places: Sequence[Path], reader: Callable[[JobSpec], Reader], environ: Mapping[str, str] | None = None,
        given: Callable[[str, str, Mapping[str, Secret]], None] = lambda _job, _run_id, _values: None,
    ) -> None:  # fmt: skip
        self._places, self._reader = tuple(places), reader
        self._environ = os.environ if environ is None else environ
        self._given = given

    def make(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Workspace:
        if not spec.secrets:
            return NOTHING
        values = {ref: self._value(ref, spec, config) for ref in spec.secrets}
        variables = tuple((ref.env, _text(ref, value)) for ref, value in values.items() if ref.env)
        directory = memory_place.choose(self._places) / place_name(run.run_id)
        try:
            self._open(directory, self._reader(spec))
            binds = tuple(Bind(str(directory / _file_name(ref)), ref.target) for ref in spec.secrets if ref.target)
            for ref, value in values.items():
                _write(directory / _file_name(ref), value, ref.mode, self._reader(spec) if ref.target else Reader())
        except OSError as error:
            raise _failed(directory, error) from error
        self._given(spec.name, run.run_id, {ref.name: value for ref, value in values.items()})
        return Workspace(binds, variables)

    def drop(self, run_id: str) -> None:
        for place in self._places:
            _remove(place / place_name(run_id))

    def tidy(self, keep: Collection[str]) -> None:
        kept = {place_name(run_id) for run_id in keep}
        for place in self._places:
            try:
                left = [path for path in place.iterdir() if path.name not in kept]
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue  # never made, or not ours
            for path in left:
                _remove(path)

    def values(self, run_id: str) -> tuple[Secret, ...]:
        """What was given to a run, as long as it has not ended: for masking."""
        found = []
        for place in self._places:
            try:
                found += [Secret(path.read_bytes()) for path in sorted((place / place_name(run_id)).iterdir())]
            except OSError:
                continue
        return tuple(found)

    # -- values -----------------------------------------------------------------------------------------------

    def _value(self, ref: SecretRef, spec: JobSpec, config: ServiceConfig) -> Secret:
        if not may_have_secret(config, spec.owner, ref.name):
            raise Permanent(f"cannot give the secret {ref.name} to {spec.name}: it is not allowed for {spec.owner}",
                            code="secret-forbidden", hint="The service file grants `secrets` by name.")  # fmt: skip
        if ref.sealed:
            return unseal(ref, [store.identity_file for store in config.secret_stores if store.type == "age"])
        broken: ReconcilerError | None = None
        for store in config.secret_stores:
            if store.type == "age":
                continue
            try:
                value = open_store(store, self._environ).read(ref.name)
            except ReconcilerError as error:
                if error.code == "secret-too-large":
                    raise
                broken = broken or error
                continue
            if value is not None:
                return value
        raise broken or Permanent(
            f"cannot give the secret {ref.name} to {spec.name}: no store has it", code="secret-gone",
            hint="put it back into one of the service file's `secret_stores`",
        )  # fmt: skip

    # -- files ------------------------------------------------------------------------------------------------

    def _open(self, directory: Path, reader: Reader) -> None:
        """The run's own directory: the service's, and on foot the job's user may pass through."""
        memory_place.make(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
        if reader.walks and reader.gid >= 0:
            os.chown(directory, -1, reader.gid)
            directory.chmod(0o710)


def _file_name(ref: SecretRef) -> str:
    return f"{ref.name}~{VARIABLE if ref.env else format(ref.mode, 'o')}"


def _text(ref: SecretRef, value: Secret) -> str:
    """As a variable, without the line break that an editor leaves at the end. Raises Permanent."""
    data = value.reveal()
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        message = f"cannot make the secret {ref.name} the variable {ref.env}: it is not text"
        raise Permanent(message, code="secret-not-text", hint="Let the job read it as a file.") from None
    if len(data) > MAX_VARIABLE:
        message = f"cannot make the secret {ref.name} the variable {ref.env}: it is larger than 128 KiB"
        raise Permanent(message, code="secret-too-large", hint="Let the job read it as a file.")
    return text


def _write(path: Path, value: Secret, mode: int, reader: Reader) -> None:
    """Put it in place by renaming: a run that has started keeps what it was given."""
    half = path.with_name(f".{path.name}")
    half.unlink(missing_ok=True)
    fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb", closefd=False) as out:
            out.write(value.reveal())
        if reader.uid >= 0:
            os.fchown(fd, reader.uid, reader.gid)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)
    half.replace(path)


def _remove(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return  # nothing can be there
        raise StateError(f"cannot remove {directory}: {error.strerror}", hint="remove it by hand: it holds secrets"
                         ) from error  # fmt: skip


def _failed(directory: Path, error: OSError) -> StateError:
    return refused(f"write secrets to {directory}", error, full="free memory there")

"""In: `secrets` of a job file, and what the stores have. Out: references, and what is wrong with them.

Names and encrypted files only: no value is ever here (rule S3).
"""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..model.job import JobSpec, SecretRef
from ..model.secret import StoreConfig, variable_of
from ..runs.parameters import variable
from .fields import RESERVED_VARIABLES, target_fault

Report = Callable[..., None]  # (tokens, code, message, hint)
Sealed = Mapping[tuple[str, str], bytes]  # (name, the store's path) -> the encrypted file

HOME = "/run/secrets"
DEFAULT_MODE = "0400"


def references(value: Any, report: Report) -> tuple[SecretRef, ...]:
    """The short form is a file of the secret's name in /run/secrets."""
    found = []
    for index, item in enumerate(value):
        said = {"name": item} if isinstance(item, str) else item
        place = (str(index),)
        if "env" in said and ("target" in said or "mode" in said):
            report(place, "secret-form", "a secret is a variable or a file: `env` stands without `target` and `mode`")
        elif "env" in said:
            _check_variable(said["env"], (*place, "env"), report)
            found.append(SecretRef(said["name"], env=said["env"]))
        else:
            target, mode = said.get("target", f"{HOME}/{said['name']}"), int(said.get("mode", DEFAULT_MODE), 8)
            fault = target_fault(f"/x{target.removeprefix(HOME)}" if target.startswith(f"{HOME}/") else target)
            if fault:
                report((*place, "target"), "target-invalid", fault, "Use an absolute path such as /run/secrets/NAME.")
            if not mode & 0o400 or mode & 0o333:
                report((*place, "mode"), "file-mode", f"mode {mode:04o} is none of 0400, 0440 and 0444")
            found.append(SecretRef(said["name"], target, "", mode))
    return tuple(found)


def _check_variable(name: str, place: tuple[str, ...], report: Report) -> None:
    if name.startswith(RESERVED_VARIABLES):
        message = f"variables that begin with {RESERVED_VARIABLES} are set by the reconciler"
        report(place, "variable-reserved", message, "Choose another name.")


def check_clashes(spec: JobSpec, report: Report) -> None:
    """Each file and each variable of a secret is its own. Targets of other mounts are told apart with theirs."""
    taken = {name: "`environment`" for name, _ in spec.environment}
    taken |= {variable(parameter.name): f"parameter {parameter.name}" for parameter in spec.parameters}
    for index, ref in enumerate(spec.secrets):
        if ref.env and ref.env in taken:
            message = f"the secret {ref.name} is delivered as {ref.env}, and {taken[ref.env]} sets that too"
            report(("secrets", str(index)), "secret-clash", message, "Keep one of the two.")
        if ref.env:
            taken.setdefault(ref.env, f"the secret {ref.name}")


def files_of(refs: Sequence[SecretRef], stores: Sequence[StoreConfig]) -> Iterator[tuple[int, str, str, str]]:
    """(index, name, the store's path, full path) of every encrypted file of the commit that may hold one of them."""
    for store in stores:
        if store.type == "age":
            for index, ref in enumerate(refs):
                yield index, ref.name, store.path, f"{store.path}/{ref.name}.age".lstrip("/")


def resolved(
    refs: tuple[SecretRef, ...], owner: str, stores: Sequence[StoreConfig], sealed: Sealed, report: Report
) -> tuple[SecretRef, ...]:
    """Each with its encrypted file where that is what holds it: the first store that has the name counts. Reports
    those that none has."""
    found = []
    for index, ref in enumerate(refs):
        where = next((store for store in stores if _has(store, ref.name, sealed)), None)
        if where is None:
            message = f"{owner} asks for the secret {ref.name}, and no store has it"
            report(("secrets", str(index)), "secret-missing", message, _missing_hint(ref.name, stores))
        elif _key(where, ref.name) in where.short:
            message = f"the secret {ref.name} is too short to be masked in logs"
            hint = "Less than 6 bytes would be found everywhere. Take a longer one."
            report(("secrets", str(index)), "secret-short", message, hint, warning=True)
        data = sealed[ref.name, where.path] if where is not None and where.type == "age" else None
        found.append(replace(ref, sealed=base64.b64encode(data).decode()) if data is not None else ref)
    return tuple(found)


def _has(store: StoreConfig, name: str, sealed: Sealed) -> bool:
    if store.type == "age":
        return (name, store.path) in sealed
    return store.names is None or _key(store, name) in store.names


def _key(store: StoreConfig, name: str) -> str:
    """What the store calls it."""
    return variable_of(name) if store.type == "environment" else name


def _missing_hint(name: str, stores: Sequence[StoreConfig]) -> str:
    if not stores:
        return "The service file names no `secret_stores`."
    if broken := [store.fault for store in stores if store.fault]:
        return f"A store cannot be used: {broken[0]}"
    from difflib import get_close_matches  # only of use where something is wrong

    near = get_close_matches(name, {each for store in stores for each in store.names or ()}, 1)
    return f'did you mean "{near[0]}"?' if near else f"Searched: {', '.join(store.words for store in stores[:5])}."

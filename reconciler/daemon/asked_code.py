"""The refs that a person gives for one run -> the code that it is to have instead of its job's."""

from collections.abc import Sequence

from ..model.errors import Permanent, SourceRejected
from ..model.job import JobSpec
from ..model.run import CodeAt
from ..runs.parameters import shown
from ..spec.giturl import parse_ref


def asked_code(spec: JobSpec, refs: Sequence[str]) -> tuple[CodeAt, ...]:
    """Each is `REF` for a job of one repository, or `TARGET=REF`. Raises Permanent (`code-ref`)."""
    found: dict[str, CodeAt] = {}
    for text in refs:
        target, equals, ref = text.partition("=") if text.startswith("/") else ("", "", text)
        if target and not equals:
            raise _refused(spec, f"{shown(text)} has no '='", "write --ref TARGET=BRANCH")
        known = [item for item in spec.repositories if not target or item.target == target]
        if not known:
            has = ", ".join(item.target for item in spec.repositories)
            why = f"it has no code at {target}" if has else "it has no `repositories`"
            raise _refused(spec, why, f"it has: {has}" if has else "")
        if len(known) > 1:
            names = ", ".join(item.target for item in known)
            raise _refused(spec, f"it has code at {names}", f"say which: --ref {known[0].target}={ref}")
        if known[0].target in found:
            raise _refused(spec, f"two refs are given for {known[0].target}", "keep one of them")
        try:
            parse_ref(ref)
        except SourceRejected as error:
            raise _refused(spec, f"{shown(ref)} is no branch, tag or commit", error.hint) from error
        found[known[0].target] = CodeAt(known[0].target, known[0].url, ref)
    return tuple(found.values())


def had_refs(before: tuple[CodeAt, ...], refs: Sequence[str]) -> bool:
    """Was a run asked for with these refs, as they are typed?"""
    had = {item.target: item.ref for item in before}
    pairs = [text.partition("=")[::2] if text.startswith("/") else ("", text) for text in refs]
    return all(had.get(target) == ref if target else ref in had.values() for target, ref in pairs)


def _refused(spec: JobSpec, why: str, hint: str) -> Permanent:
    return Permanent(f"cannot run {spec.name}: {why}", code="code-ref", hint=hint)

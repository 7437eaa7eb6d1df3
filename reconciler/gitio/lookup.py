"""A reference of a remote repository -> the commit that it stands for there, by one `ls-remote`."""

from collections.abc import Mapping, Sequence

from ..model.errors import SourceRejected, SourceUnavailable
from ..spec.giturl import Address, Ref, RefKind, is_commit_id, may_be_abbreviated
from .failure import check
from .objects import Objects
from .profile import Access
from .runner import GitRunner

MAX_ADVERTISED = 32 << 20  # bytes of the server's list of references


def advertised(
    runner: GitRunner, address: Address, ref: Ref, access: Access, timeout: float, objects: Objects | None
) -> tuple[str, str]:
    """The full name and commit id of the reference on the server. A commit id stands for itself: no child is run.

    Raises SourceRejected (`ref-not-found`, `ref-ambiguous`) and what a failing child is (see `failure`).
    """
    if ref.kind is RefKind.COMMIT:
        return ref.text, ref.text
    return chosen(ref, listed(runner, address, [ref], access, timeout), address, objects)


def listed(
    runner: GitRunner, address: Address, refs: Sequence[Ref], access: Access, timeout: float
) -> dict[str, str]:  # fmt: skip
    """What the server has of the names that these may stand for, and what tags of them point at, by name."""
    names = [name for ref in refs for name in (ref.candidates or ("HEAD",))]
    patterns = [pattern for name in names for pattern in (name, name + "^{}")]
    done = runner.run(
        ["ls-remote", "--quiet", "--", str(address), *dict.fromkeys(patterns)],
        timeout=timeout, max_output=MAX_ADVERTISED, access=access,
    )  # fmt: skip
    out = check(done, f"look at {refs[0].text} of {address}", access)
    ids = {}
    for line in out.decode("utf-8", "replace").splitlines():
        commit, _, name = line.partition("\t")
        ids[name] = commit
    return ids


def chosen(ref: Ref, ids: Mapping[str, str], address: Address, objects: Objects | None) -> tuple[str, str]:
    """As `advertised`, from what is `listed`."""
    if ref.kind is RefKind.COMMIT:
        return ref.text, ref.text
    found = [name for name in ref.candidates if is_commit_id(ids.get(name, ""))]
    if not found:
        raise not_found(ref, str(address), objects)
    commits = {ids.get(name + "^{}", ids[name]) for name in found}
    if len(commits) > 1:
        raise ambiguous(ref, str(address))
    return found[0], commits.pop()


def ambiguous(ref: Ref, where: str) -> SourceRejected:
    """A branch and a tag of one name: git's own rule (the tag wins) would let one push redirect the other."""
    return SourceRejected(
        f"cannot choose {ref.text} of {where}: it is a branch and a tag", code="ref-ambiguous",
        hint=f"write refs/heads/{ref.text} or refs/tags/{ref.text}",
    )  # fmt: skip


def not_found(ref: Ref, where: str, objects: Objects | None) -> SourceRejected:
    """No such branch, tag or HEAD: an empty repository, a deleted branch, a typing error, or a commit id cut short.

    A short id is never followed, since a later commit may share it; if `objects` have it, the whole id is named.
    """
    hint = "commit something first, or name a branch" if ref.text == "HEAD" else "check `source.ref`"
    if may_be_abbreviated(ref.text):
        whole = _whole_id(ref.text.lower(), objects) if objects is not None else ""
        hint = f"a commit is named by its whole id, all 40 digits: {whole or f'git rev-parse {ref.text.lower()}'}"
    return SourceRejected(
        f"cannot find {ref.text} in {where}: no such branch or tag", code="ref-not-found", hint=hint
    )  # fmt: skip


def _whole_id(text: str, objects: Objects) -> str:
    """The commit id that begins with `text`, of the objects that are here already; "" = none, or several."""
    try:
        return objects.commit(text).id
    except (SourceRejected, SourceUnavailable):
        return ""

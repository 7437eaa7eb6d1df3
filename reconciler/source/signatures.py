"""Who signed a revision, and whether `source.require_signed` lets it in. Asked once for each commit that is new.

A commit counts as signed if one of `people` signed exactly these bytes for git. Author and committer are what anybody
may write into a commit, and a signed tag says nothing of the commit's own signature: neither has a say.
"""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple

from ..gitio.lineage import check_line
from ..gitio.objects import Objects
from ..gitio.runner import GitRunner
from ..gitio.signature import NAMESPACE, Unreadable, signed
from ..gitio.sshkeygen import Keygen
from ..model.errors import Refusal
from ..model.service import Person
from ..spec.people import signers
from ..spec.sshkeys import PublicKey, fingerprint, parse_key

MOST = 1000  # commits of one range


class Verdict(NamedTuple):
    """`by`: who signed the revision, "" = nobody who is known. `refusal`: why it may not be applied."""

    by: str = ""
    refusal: Refusal | None = None


class Signatures:
    """Judges revisions of one repository. `demand` is "head" or "range"; `roots` are the jobs directories that are read
    of it, `timeout` in seconds is for all signatures of one try: the next goes on where it ended. One thread's own."""

    def __init__(
        self, objects: Objects, keygen: Keygen, demand: str, people: Sequence[Person], roots: Sequence[str],
        timeout: float,
    ) -> None:  # fmt: skip
        self._objects, self._keygen, self._demand, self._timeout = objects, keygen, demand, timeout
        self._paths = [root for root in roots if root]
        self._whose = signers(people)
        self._keys: dict[bytes, PublicKey] = {
            key.blob: key for person in people for key in map(parse_key, person.signing_key)
        }
        self._each: dict[str, Verdict] = {}  # by commit id, of the range that was judged last: MOST at most
        self._latest: tuple[str, str | None, bool] = ("", None, False)
        self._verdict = Verdict()

    def judge(self, commit: str, applied: str | None, *, descends: bool) -> Verdict:
        """May `commit` be applied after `applied` (None = nothing was yet)? What is applied already stays so, whoever
        has left since. Raises what reading objects and running ssh-keygen do."""
        just_applied = applied == commit == self._latest[0] and self._verdict.refusal is None
        if not just_applied and self._latest != (commit, applied, descends):
            self._verdict = self._judge(commit, applied, descends)
            self._latest = (commit, applied, descends)
        return self._verdict

    def _judge(self, commit: str, applied: str | None, descends: bool) -> Verdict:
        wanted, since = [commit], ""
        if self._demand == "range" and applied is not None and applied != commit and descends:
            wanted, since = self._objects.first_parents(applied, commit, MOST + 1), applied
        if len(wanted) > MOST:
            return Verdict("", self._refusal("commits-too-many", commit, f"comes with more than {MOST} others"))
        found = self._objects.commits(wanted)
        if since:
            check_line(self._objects, since, commit, found)
        self._each = {one: self._each[one] for one in wanted if one in self._each}
        by, deadline = "", monotonic() + self._timeout
        for one, raw in found.items():
            verdict = self._each.get(one) or self._one(one, raw, deadline)
            self._each[one] = verdict  # kept also when time runs out at the next, so that each try gets further
            by = verdict.by if one == commit else by
            if verdict.refusal is not None and one != applied:
                return Verdict(by, verdict.refusal)
        self._objects.check_trees(commit, found[commit], self._paths)
        return Verdict(by)

    def _one(self, commit: str, raw: bytes, deadline: float) -> Verdict:
        """Of one commit, whatever lies before it. `deadline` by the monotonic clock."""
        try:
            found = signed(commit, raw)
        except Unreadable as error:
            code = "commit-signature-unknown" if error.foreign else "commit-signature-bad"
            return Verdict("", self._refusal(code, commit, str(error)))
        if found is None:
            return Verdict("", self._refusal("commit-unsigned", commit, "is not signed"))
        who, mark = self._whose.get(found.key, ""), fingerprint(found.key)
        if not who:
            why = f"is signed with {mark}, which is nobody's key"
            return Verdict("", self._refusal("commit-signature-unknown", commit, why))
        if found.namespace != NAMESPACE:
            why = f"bears a signature of {who} ({mark}) that was not made for git"
            return Verdict("", self._refusal("commit-signature-bad", commit, why))
        if not self._keygen.fits(found, self._keys[found.key].line, who, max(0.0, deadline - monotonic())):
            why = f"bears a signature of {who} ({mark}) that does not fit it"
            return Verdict("", self._refusal("commit-signature-bad", commit, why))
        return Verdict(who)

    def _refusal(self, code: str, commit: str, why: str) -> Refusal:
        hint = "put a signed commit on top of it: git commit -S --allow-empty"
        if self._demand == "range":
            hint = "bring it in by a signed merge: git merge --no-ff -S, on top of what is applied"
        if code == "commit-signature-unknown":
            hint += "; or add the signer's key to `people`"
        return Refusal(code, f"cannot apply commit {commit[:7]}: it {why}", hint)


Judges = Callable[[Objects, GitRunner], Signatures | None]  # made for one repository's objects; None = nobody asks


def unasked(_objects: Objects, _runner: GitRunner) -> None:
    """Whoever may commit may be unsigned."""


def judges(demand: str, people: Sequence[Person], roots: Sequence[str], timeout: float) -> Judges:
    """For `source.require_signed`; `timeout` in seconds for one revision, `roots` as of `listing.normal_paths`. What it
    returns raises SourceRejected (`ssh-keygen-missing`, `ssh-keygen-failed`) where nothing can be verified."""
    if demand == "none":
        return unasked

    def made(objects: Objects, runner: GitRunner) -> Signatures:
        keygen = Keygen(runner)
        keygen.check(timeout)
        return Signatures(objects, keygen, demand, people, roots, timeout)

    return made

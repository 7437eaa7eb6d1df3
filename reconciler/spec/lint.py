"""In: a valid job. Out: what keeps it from being the same tomorrow, or gives it more than it needs: advice alone.

A file accepts a rule by name: `accept: [moving-tag]`, in a `_defaults.yaml` for all below it.
"""

import re
from collections.abc import Callable, Iterator

from ..model.job import DesiredJob, JobSpec
from ..model.problem import SpecProblem
from .images import parse_image

PLAINTEXT = "plaintext-secret"  # a warning of every validation; accepted in the same way
_MOVING = frozenset({"latest", "main", "master", "develop", "dev", "nightly", "edge", "stable", "current", "rolling",
                     "testing", "unstable", "next", "canary", "snapshot"})  # fmt: skip
_PINNED = {
    "pip": re.compile(r"[^;#]*(?:===?[^*;#]+(?:[;#]|\Z)|@\s*\S+)"),
    "conda": re.compile(r"[^=<>!]+={1,2}[^*]+\Z"),
    "apt": re.compile(r"[^=]+="),
}
_FIXED_REF = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z|refs/tags/|v?[0-9]+(?:\.[0-9A-Za-z_+-]+)+\Z")
_SAY_VERSION = (
    "Say the version; `reconciler show` tells which one a run had. `reconciler build` pins what is installed."
)
_ROOT = frozenset({"root", "0"})

Found = tuple[str, str, str]  # field, sentence, hint


def _moving_tag(spec: JobSpec) -> Iterator[Found]:
    if spec.exec_in:
        return
    reference = parse_image(spec.image)
    if not reference.digest and reference.tag.lower() in _MOVING:
        said = f"the tag {reference.tag} of {spec.image} means another image from time to time"
        yield (
            "image",
            said,
            "Name a version, or pin it: `image: name:tag@sha256:...` (`reconciler show` tells the digest).",
        )


def _branch_ref(spec: JobSpec) -> Iterator[Found]:
    for index, code in enumerate(spec.repositories):
        if _FIXED_REF.match(code.ref) is None:
            said = f"{code.ref} of {code.url} is a branch, or may be: each run takes what it is then"
            yield f"repositories.{index}", said, "Name a tag or a commit, or know that runs take what is merged."


def _unpinned_package(spec: JobSpec) -> Iterator[Found]:
    for manager, pinned in _PINNED.items():
        loose = [name for name in getattr(spec.packages, manager) if pinned.match(name) is None]
        if loose:
            more = f" and {len(loose) - 3} more" if len(loose) > 3 else ""
            said = f"{manager} may install another version of {', '.join(loose[:3])}{more} next time"
            yield "packages", said, _SAY_VERSION


def _root_user(spec: JobSpec) -> Iterator[Found]:
    user = (spec.user or "").partition(":")[0]
    if user in _ROOT:
        yield "user", "the command runs as root in its container", 'Give it a user of its own: `user: "1000:1000"`.'
    elif not user and not spec.exec_in:
        yield "user", "the image decides who the command runs as, and most say root", 'Say it: `user: "1000:1000"`.'


RULES: dict[str, Callable[[JobSpec], Iterator[Found]]] = {
    "moving-tag": _moving_tag,
    "branch-ref": _branch_ref,
    "unpinned-package": _unpinned_package,
    "root-user": _root_user,
}


def lint(job: DesiredJob) -> Iterator[SpecProblem]:
    """Warnings at the lines of the fields; at line 1 of the job's file where nothing was written."""
    for code, rule in RULES.items():
        if code in job.spec.accept:
            continue
        for field, said, hint in rule(job.spec):
            place = job.lines.get(field) or job.lines.get(field.partition(".")[0])
            path, line = (place.path, place.line) if place is not None else (job.path, 1)
            yield SpecProblem(
                path, line, 1, code, said, f"{hint} Or: `accept: [{code}]`.", f"/{field.replace('.', '/')}", "warning"
            )

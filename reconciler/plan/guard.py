"""In: what a plan proposes. Out: the refusals of rules D3 to D5, and the one command that lifts each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath

from ..model.desired import DesiredState
from ..model.errors import Refusal
from ..model.live import StandingJob
from ..model.plan import Action, ActionKind
from ..model.problem import SpecProblem
from ..model.service import ServiceConfig
from . import words

FEW = 3  # retirements that are never a mass retirement (rule D4: at least 4)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refusals`: the plan may not be applied. `reasons`: what `approve DIGEST` would lift."""

    refusals: tuple[Refusal, ...] = ()
    reasons: tuple[str, ...] = ()
    warnings: tuple[SpecProblem, ...] = ()


def judge(
    desired: DesiredState,
    config: ServiceConfig,
    actions: Sequence[Action],
    *,
    live: int,
    begun: frozenset[str],
    digest: str,
    applied: str,
    approvals: Mapping[str, str],
    standing: Mapping[str, StandingJob],
) -> Verdict:
    """May these actions be carried out? `live` jobs stand now; retirements in `begun` were decided earlier; `applied`
    is the revision that was applied last, "" at first."""
    retired = [a.name for a in actions if a.kind is ActionKind.RETIRE and a.name not in begun]
    refusals = [] if digest in approvals else _liftable(desired, config, retired, live, digest, standing)
    reasons = tuple(refusal.message for refusal in refusals)
    warnings = () if retired else tuple(map(_missing, desired.missing_paths))
    if not desired.descends and desired.commit.id != applied and desired.commit.id not in approvals:
        if config.allow_rewrite:
            warnings = (*warnings, _rewritten_warning(desired))
        else:
            refusals.append(_rewritten(desired))
    return Verdict(tuple(refusals), reasons, warnings)


def _liftable(
    desired: DesiredState, config: ServiceConfig, retired: Sequence[str], live: int, digest: str,
    standing: Mapping[str, StandingJob],
) -> list[Refusal]:  # fmt: skip
    command = f"if this is meant, approve exactly this plan: reconciler approve {digest}"
    found = []
    if retired and desired.missing_paths:
        where = words.names(desired.missing_paths)
        message = f"the jobs directory {where} is missing at this commit, and {_would_retire(retired, live)}"
        found.append(Refusal("jobs-directory-missing", message, command))
    elif retired and desired.entries == 0:
        message = f"the jobs directory is empty at this commit, and {_would_retire(retired, live)}"
        found.append(Refusal("jobs-directory-empty", message, command))
    elif emptied := _emptied(desired, config, retired, standing):
        message = (
            f"the jobs directory {words.names(emptied)} is empty at this commit, and {_would_retire(retired, live)}"
        )
        found.append(Refusal("jobs-directory-empty", message, command))
    elif len(retired) > FEW and len(retired) > config.limits.max_retired_share * live:
        share = f"more than max_retired_share ({config.limits.max_retired_share:.0%})"
        found.append(Refusal("too-many-retired", f"{_would_retire(retired, live)}: {share}", command))
    if config.on_invalid == "reject" and (desired.held or desired.errors):
        count = len(desired.held) or len({problem.path for problem in desired.errors})
        message = f"{words.plural(count, 'file')} cannot be used, and the service file says on_invalid: reject"
        hint = f"fix and commit again, or let the rest through: reconciler approve {digest}"
        found.append(Refusal("invalid-files", message, hint))
    return found


def _emptied(
    desired: DesiredState, config: ServiceConfig, retired: Sequence[str], standing: Mapping[str, StandingJob]
) -> list[str]:
    """Of several jobs directories, those that jobs would be retired from and that have no job file any more."""
    paths = {normpath(path) for path in config.source.paths if path} - desired.roots
    homes = [standing[name].full_path for name in retired if name in standing] if paths else []
    return sorted(path for path in paths if any(home.startswith(f"{path}/") for home in homes))


def _would_retire(retired: Sequence[str], live: int) -> str:
    return f"{len(retired)} of {words.plural(live, 'live job')} would be retired ({words.names(sorted(retired))})"


def _missing(path: str) -> SpecProblem:
    """Silence would look like success to whoever has mistyped a path."""
    message = f"there is no job file below {path or 'the repository'} at this commit"
    hint = "`source.paths` or --path names the jobs directory"
    return SpecProblem("", 1, 1, "jobs-directory-missing", message, hint, severity="warning")


def _rewritten(desired: DesiredState) -> Refusal:
    message = f"commit {desired.commit.short} does not descend from the applied one: the history was rewritten"
    return Refusal("history-rewritten", message, f"if this is meant: reconciler approve {desired.commit.id}")


def _rewritten_warning(desired: DesiredState) -> SpecProblem:
    message = f"commit {desired.commit.short} does not descend from the applied one: accepted for this source"
    return SpecProblem("", 1, 1, "history-rewritten", message, severity="warning")

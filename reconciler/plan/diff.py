"""In: what git asks for, what exists, what the ledger says, the service's policy. Out: a Plan."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..model.desired import DesiredState, HeldJob
from ..model.live import LiveState, StandingJob
from ..model.plan import Action, ActionKind, Plan
from ..model.service import ServiceConfig
from .ageing import ageing
from .context import PlanContext as PlanContext
from .fingerprint import fingerprint
from .guard import judge
from .moves import Moves, alike, find_moves
from .steps import OWN_CODES, Steps

# Worst first: what stops firing, what is not done, what goes, what changes, what comes.
_RANK = {kind: rank for rank, kind in enumerate((
    ActionKind.FORBID, ActionKind.HOLD, ActionKind.RETIRE, ActionKind.REPLACE, ActionKind.MOVE, ActionKind.HEAL,
    ActionKind.CREATE, ActionKind.PERMIT,
))}  # fmt: skip


def make_plan(
    desired: DesiredState,
    live: LiveState,
    standing: Mapping[str, StandingJob],
    config: ServiceConfig,
    ctx: PlanContext,
) -> Plan:
    """Compare, decide, guard. Total: never raises for bad input; the same input gives the same plan in any order."""
    return _Planner(desired, live, standing, config, ctx).plan()


@dataclass(frozen=True, slots=True)
class _Proposal:
    """`actions` need nobody's leave; each of `waiting` is (what is done without approval, what with it)."""

    actions: list[Action]
    waiting: list[tuple[Action, Action]]
    unchanged: int

    def steps(self) -> Iterable[Action]:
        """Everything that was, or would with approval be, done."""
        yield from (action for action in self.actions if action.changes_something)
        for without, approved in self.waiting:
            yield approved
            if without.changes_something:
                yield without


class _Planner:
    """One comparison. Holds its inputs only."""

    def __init__(
        self,
        desired: DesiredState,
        live: LiveState,
        standing: Mapping[str, StandingJob],
        config: ServiceConfig,
        ctx: PlanContext,
    ) -> None:
        self.desired, self.live, self.standing, self.config, self.ctx = desired, live, standing, config, ctx
        self.step = Steps(live, config, ctx, standing)
        self.broken_owners = {held.owner for held in (*desired.held.values(), *desired.refused)} | desired.broken_owners

        self.heirs = {held.moved_from: held for held in desired.held.values() if held.moved_from}

    def plan(self) -> Plan:
        proposal = self._propose()
        digest = fingerprint(self.desired.commit.id, proposal.steps())
        actions, reasons = self._answered(proposal, digest)
        begun = frozenset(name for name, row in self.standing.items() if row.retiring)
        live = len(self.standing) - len(begun) + sum(1 for name in self.live.jobs if name not in self.standing)
        verdict = judge(
            self.desired, self.config, actions, live=live, begun=begun, digest=digest,
            applied=self.ctx.previous_revision, approvals=self.ctx.approvals, standing=self.standing,
        )  # fmt: skip
        found = (p for action in actions for p in action.problems if p.code in OWN_CODES)
        commit = self.desired.commit
        problems = {*self.desired.problems, *found, *verdict.warnings, *ageing(self.desired, self.ctx.now)}
        return Plan(
            revision=commit.id, previous=self.ctx.previous_revision, actions=tuple(sorted(actions, key=_order)),
            unchanged=proposal.unchanged, digest=digest, refusals=verdict.refusals,
            problems=tuple(sorted(problems)),
            needs_approval=verdict.reasons + tuple(sorted(reasons)), subject=commit.subject, author=commit.author,
            committed_at=commit.at, ref=self.desired.ref, signed_by=commit.signed_by,
        )  # fmt: skip

    def _answered(self, proposal: _Proposal, digest: str) -> tuple[list[Action], list[str]]:
        """Retirements that wait become real if this very digest was approved (rule D3)."""
        approver = self.ctx.approvals.get(digest)
        actions, reasons = list(proposal.actions), []
        for without, approved in proposal.waiting:
            if approver is not None:
                actions.append(replace(approved, notes=(*approved.notes, f"approved by {approver}")))
            else:
                command = f"retire it all the same: reconciler approve {digest}"
                actions.append(replace(without, notes=(*without.notes, command)))
                reasons.append(f"{approved.name} is not retired: {without.why}")
        return actions, reasons

    # -- comparing --------------------------------------------------------------------------------------------
    def _propose(self) -> _Proposal:
        differing, unchanged = self._differing()
        created = [n for n in differing if n not in self.standing or self.standing[n].retiring]
        jobs, held = self.desired.jobs, self.desired.held
        gone = frozenset([name for name in self.standing if name not in jobs and name not in held])
        moves = find_moves(self.desired, created, gone, self.standing, self.broken_owners)
        leaving = sorted(gone - set(moves.old_of.values()))
        hints = self._hints([n for n in created if n not in moves.old_of], leaving)
        steps: list[Action | tuple[Action, Action]] = []
        steps += [self.step.blocked(self._install(name, moves, hints)) for name in differing]
        steps += [self._hold(held) for held in self.desired.held.values()]
        steps += [self._leave(self.standing[name], hints.get(name, "")) for name in leaving]
        steps += self._orphans()
        return _Proposal(
            [step for step in steps if isinstance(step, Action)],
            [step for step in steps if isinstance(step, tuple)],
            unchanged,
        )

    def _differing(self) -> tuple[list[str], int]:
        """Names that need a closer look. Ten thousand unchanged jobs cost a few dictionary look-ups each.

        A job of the desired state was admitted under today's policy, so equal digests mean an allowed live spec.
        """
        standing, seen, complete, refresh = self.standing, self.live.jobs, self.live.complete, bool(self.ctx.images)
        differing = []
        for name, job in self.desired.jobs.items():
            row = standing.get(name)
            if row is not None and row.digest == job.digest and not row.forbidden and not row.retiring:
                shown = seen.get(name)
                in_place = not complete or (shown is not None and shown.digest == job.digest and not shown.drift)
                if in_place and not (refresh and self.step.effects.refreshed(row)):
                    continue
            differing.append(name)
        return sorted(differing), len(self.desired.jobs) - len(differing)

    def _install(self, name: str, moves: Moves, hints: Mapping[str, str]) -> Action:
        job, row = self.desired.jobs[name], self.standing.get(name)
        if name in moves.old_of:
            return self.step.move(job, self.standing[moves.old_of[name]])
        if row is None or row.retiring:
            return self.step.create(job, row, tuple(n for n in (moves.refused.get(name), hints.get(name)) if n))
        if row.digest != job.digest:
            return self.step.replace(row, job)
        if row.forbidden:
            return self.step.permit(row, job)
        return self.step.refresh(row, job) or self.step.heal(row, job)

    def _hints(self, created: list[str], leaving: list[str]) -> dict[str, str]:
        """Notes for pairs that look like a move without `moved_from`, by either name (rule D1)."""
        pairs = alike((self.desired.jobs[n] for n in created), (self.standing[n] for n in leaving)) if leaving else {}
        notes = {}
        for old, new in pairs.items():
            notes[old] = f"looks like {new}: `moved_from: {old}` there would carry its history along"
            notes[new] = f"looks like {old}: `moved_from: {old}` would carry its history along"
        return notes

    # -- what is not in git any more, or not usable -----------------------------------------------------------
    def _hold(self, held: HeldJob) -> Action:
        row = self.standing.get(held.name)
        why = held.problems[0].message if held.problems else "the file cannot be used"
        if row is None or row.retiring:
            past = "it has never been live" if row is None else "its retirement had begun"
            notes = (f"{past}, so nothing fires",)
            return Action(ActionKind.HOLD, held.name, why, held.path, held.owner, notes=notes, problems=held.problems)
        notes = (f"until it is fixed, nothing of {held.owner} is retired",)
        hold = Action(
            ActionKind.HOLD, held.name, why, held.path, held.owner, old_digest=row.digest, notes=notes,
            problems=held.problems,
        )  # fmt: skip
        return self.step.kept(row, hold)

    def _leave(self, row: StandingJob, hint: str) -> Action | tuple[Action, Action]:
        retire = self.step.retire(row, hint)
        hold = replace(retire, kind=ActionKind.HOLD, notes=(), stop_runs=False)
        if not self.live.complete:
            why = "file deleted, but the engine's listing is incomplete: nothing is retired now"
            return self.step.kept(row, replace(hold, why=why))
        if row.retiring:
            return retire
        if row.spec.protect:
            notes = ("to retire it, commit `protect: false` first, then delete the file",)
            return self.step.kept(row, replace(hold, why="file deleted, but the live job is protected", notes=notes))
        if row.owner in self.broken_owners:
            why = f"file deleted, but another file of {row.owner} cannot be used"
            return self.step.kept(row, replace(hold, why=why)), retire
        heir = self.heirs.get(row.name)
        if heir is not None:
            lacks = tuple(f"{heir.name}: {problem}" for problem in heir.problems)
            why = f"file deleted, but {heir.name} of {heir.owner}, where it moves to, cannot be used"
            return self.step.kept(row, replace(hold, why=why, notes=lacks)), retire
        return retire

    def _orphans(self) -> Iterable[Action | tuple[Action, Action]]:
        if not self.live.complete:
            return
        strange = [name for name in self.live.jobs if name not in self.standing]
        for name in sorted(strange):
            if name in self.desired.jobs or name in self.desired.held:
                continue
            retire = self.step.orphan(name)
            if retire.owner in self.broken_owners:
                yield replace(retire, kind=ActionKind.HOLD), retire
            else:
                yield retire


def _order(action: Action) -> tuple[int, bool, str]:
    broken = any(problem.is_error for problem in action.problems)
    return _RANK[action.kind], not broken, action.name

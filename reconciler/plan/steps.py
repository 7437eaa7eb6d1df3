"""In: one job, desired or live. Out: its Action. What is compared with what is decided in `diff`."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from ..model.job import DesiredJob, OnRetire, PullPolicy
from ..model.live import LiveState, StandingJob
from ..model.plan import Action, ActionKind
from ..model.problem import SpecProblem
from ..model.service import ServiceConfig
from ..schedule.due import carry_cursor
from ..spec.admission import admit, owner_of
from . import words
from .belongings import with_belongings
from .changes import field_changes, place
from .context import PlanContext
from .effects import Effects

UNSHARED = ("process",)  # engines without volumes and networks of an owner's
# Problems that only a plan can find.
OWN_CODES = ("name-taken", "stalled", "forbidden", "file-unreadable", "secret-unreadable", "engine-remote")


class Steps:
    """Builds actions for one comparison. Holds its inputs only."""

    def __init__(
        self, live: LiveState, config: ServiceConfig, ctx: PlanContext, standing: Mapping[str, StandingJob]
    ) -> None:
        self.live, self.config, self.ctx, self.standing = live, config, ctx, standing
        self.effects = Effects(ctx)

    # -- what is installed ------------------------------------------------------------------------------------
    def create(self, job: DesiredJob, row: StandingJob | None, notes: tuple[str, ...]) -> Action:
        if row is not None:
            notes = (*notes, "its retirement had begun; it is installed again")
        elif job.name in self.live.jobs:
            notes = (*notes, "the engine has it already, the ledger does not: taken up again")
        notes += self.effects.inherited(job) + self.effects.installs(job, argv=True)
        return Action(
            ActionKind.CREATE, job.name, self.effects.summary(job.spec), job.path, job.spec.owner, job,
            notes=notes, problems=self.effects.refusals(job), keep_cursor=False,
        )  # fmt: skip

    def replace(self, row: StandingJob, job: DesiredJob) -> Action:
        changes = self.effects.replaced(row, job, field_changes(row.spec, job))
        if self.live.engine not in UNSHARED:
            changes = with_belongings(changes, row.spec, job, self.config.instance)
        fields = list(dict.fromkeys(change.field.partition(".")[0] for change in changes))
        argv = any(field in ("script", "entrypoint", "command") for field in fields)
        forbids = self.forbidden(row)
        notes = self._runs_note(row.name) + self.effects.installs(job, argv=argv)
        if forbids:
            notes = (f"the live version is forbidden and stops firing at once: {forbids}", *notes)
        return Action(
            ActionKind.REPLACE, job.name, ", ".join(fields) or "canonical form", job.path, job.spec.owner, job,
            row.digest, changes, notes, self.effects.refusals(job), keep_cursor=_keeps_cursor(row, job),
            image_id=_pinned(row, job), forbids=forbids,
        )  # fmt: skip

    def move(self, job: DesiredJob, row: StandingJob) -> Action:
        changes = self.effects.replaced(row, job, field_changes(row.spec, job))
        if self.live.engine not in UNSHARED:
            changes = with_belongings(changes, row.spec, job, self.config.instance)
        notes = ("history, cursor and active runs go along", *self._runs_note(row.name))
        if row.owner != job.spec.owner:
            seen = f"! members of {job.spec.owner} see its history and logs from now on, those of {row.owner} no more"
            notes = (seen, *notes)
        return Action(
            ActionKind.MOVE, job.name, f"from {row.name}", job.path, job.spec.owner, job, row.digest,
            tuple(c for c in changes if c.field != "moved_from"), notes + self.effects.installs(job, argv=False),
            problems=self.effects.refusals(job),
            moved_from=row.name, keep_cursor=_keeps_cursor(row, job),
            image_id=_pinned(row, job), forbids=self.forbidden(row),
        )  # fmt: skip

    def refresh(self, row: StandingJob, job: DesiredJob) -> Action | None:
        """The tag moved, and the job asked to follow it (rule P4). Not drift: it shows as a change."""
        found = self.effects.refreshed(row) if self.ctx.images else ""
        if not found:
            return None
        why = f"pull_policy {job.spec.pull_policy}: {job.spec.image} is {words.short_id(found)} now"
        return Action(
            ActionKind.REPLACE, job.name, why, job.path, job.spec.owner, job, row.digest,
            notes=(f"image {words.short_id(row.image_id)} -> {words.short_id(found)}", *self._runs_note(row.name)),
            image_id=found,
        )  # fmt: skip

    def heal(self, row: StandingJob, job: DesiredJob) -> Action:
        shown = self.live.jobs.get(row.name)
        if shown is None:
            why = "the engine does not show it any more"
        elif shown.digest != row.digest:
            why = f"the engine shows version {shown.digest[:8]}, the ledger {row.digest[:8]}"
        else:
            why = "drifted: " + "; ".join(shown.drift)
        return Action(
            ActionKind.HEAL, row.name, why, job.path, row.owner, job, row.digest, image_id=row.image_id
        )  # fmt: skip

    def permit(self, row: StandingJob, job: DesiredJob) -> Action:
        why = "today's policy allows it again: it fires"
        return Action(ActionKind.PERMIT, row.name, why, job.path, row.owner, old_digest=row.digest)

    def blocked(self, action: Action) -> Action:
        """A name that a foreign object holds, or a job that will not converge, is held instead (rules P1, P2)."""
        foreign, stalled = self.live.taken.get(action.name), self.ctx.stalled.get(action.name)
        if action.kind in (ActionKind.PERMIT, ActionKind.HOLD, ActionKind.FORBID):
            return action
        if foreign is not None:
            why = f"its name is taken by {foreign}, which is not provably ours; it was not touched"
            code, hint = "name-taken", f"remove or rename that, or: reconciler takeover {self.config.instance}"
        elif stalled is not None:
            why, code, hint = f"stalled: {stalled}", "stalled", "edit the job, or try at once: reconciler apply"
        else:
            return action
        at = place(action.job, "name") if action.job else None
        problem = SpecProblem(action.path, at.line if at else 1, 1, code, why, hint)
        notes = action.notes if action.kind is ActionKind.HEAL else ()
        problems = (problem, *action.problems)
        held = replace(action, kind=ActionKind.HOLD, why=why, job=None, notes=notes, problems=problems)
        row = self.standing.get(action.moved_from or action.name)
        if row is not None and action.forbids and not row.forbidden:
            return replace(held, kind=ActionKind.FORBID, name=row.name, why=action.forbids, moved_from="")
        return held

    # -- what keeps its live version --------------------------------------------------------------------------
    def kept(self, row: StandingJob, hold: Action) -> Action:
        """The live version stays: is it still allowed, and still there? (rules D2 forbidden, P6)"""
        forbidden = self.forbidden(row)
        if forbidden:
            problem = SpecProblem(row.path, 1, 1, "forbidden", forbidden,
                                  "Allow it in the service file, or change the job.")  # fmt: skip
            told = any(known.message == forbidden for known in hold.problems)
            return replace(
                hold,
                kind=ActionKind.HOLD if row.forbidden else ActionKind.FORBID,
                why=forbidden,
                notes=("the live version is forbidden and does not fire", *hold.notes),
                problems=hold.problems if told else (problem, *hold.problems),
            )
        if row.forbidden:
            return replace(hold, kind=ActionKind.PERMIT, why="the live version is allowed again: it fires")
        if self.live.complete and not self.in_place(row):
            heal = self.heal(row, DesiredJob(row.spec, row.digest, row.path, full_path=row.full_path))
            notes = hold.notes if hold.problems else (hold.why, *hold.notes)
            return self.blocked(replace(heal, notes=notes, problems=hold.problems))
        stays = f"{words.short_commit(row.revision)} stays live and keeps firing"
        return replace(hold, notes=(stays, *hold.notes))

    def in_place(self, row: StandingJob) -> bool:
        shown = self.live.jobs.get(row.name)
        return shown is not None and shown.digest == row.digest and not shown.drift

    def forbidden(self, row: StandingJob) -> str:
        """Why today's policy does not allow the live version; "" = it does."""
        owner = owner_of(self.config, row.name)
        if owner != row.owner:
            return f"{row.name} belongs to {owner} now, not to {row.owner}" if owner else f"no owner has {row.name} now"
        return next((message for _, _, message, _ in admit(row.spec, self.config)), "")

    # -- what leaves ------------------------------------------------------------------------------------------
    def retire(self, row: StandingJob, hint: str) -> Action:
        count, stop = self.ctx.active_runs.get(row.name, 0), row.spec.on_retire is OnRetire.STOP
        runs = words.plural(count, "active run") + (" is " if count == 1 else " are ")
        effect = f"{runs}{'stopped' if stop else 'drained'}, " if count else ""
        why = "its retirement goes on" if row.retiring else "file deleted"
        return Action(
            ActionKind.RETIRE, row.name, f"{why}; {effect}history and volumes stay", row.path, row.owner,
            old_digest=row.digest, notes=(hint,) if hint else (), stop_runs=stop,
        )  # fmt: skip

    def orphan(self, name: str) -> Action:
        """Provably ours, but neither git nor the ledger knows it: left by a crash or by a lost ledger."""
        shown = self.live.jobs[name]
        why = "neither git nor the ledger knows it"
        return Action(ActionKind.RETIRE, name, why, owner=shown.owner, old_digest=shown.digest)

    def _runs_note(self, name: str) -> tuple[str, ...]:
        count = self.ctx.active_runs.get(name, 0)
        goes = "goes" if count == 1 else "go"
        return (f"{words.plural(count, 'active run')} {goes} on with the old spec",) if count else ()


def _keeps_cursor(row: StandingJob, job: DesiredJob) -> bool:
    """Rule T4, asked of the one place that knows it: would applying this later move the cursor?"""
    return carry_cursor(row, job.spec, row.cursor + timedelta(seconds=1))[0] == row.cursor


def _pinned(row: StandingJob, job: DesiredJob) -> str:
    """An edit of something else does not move the image (rule P4), unless the job always asks for the newest."""
    same = row.spec.image == job.spec.image and job.spec.pull_policy is not PullPolicy.ALWAYS
    return row.image_id if same else ""

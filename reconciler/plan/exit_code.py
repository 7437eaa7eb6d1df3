"""In: a Plan. Out: the exit code of `reconciler plan`."""

from ..model.plan import Plan

NOTHING, ERROR, CHANGES = 0, 1, 2


def exit_code(plan: Plan) -> int:
    """0 nothing to do, 2 changes, 1 if the plan is refused or any file or name has an error.

    A Hold that was asked for (`protect: true`) is no error; a file that does not validate is one, even though
    the rest of the plan goes ahead: a check before a merge must fail on it.
    """
    if plan.refused or any(problem.is_error for problem in plan.problems):
        return ERROR
    return CHANGES if plan.changes else NOTHING

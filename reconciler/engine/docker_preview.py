"""In: a spec. Out: what a Docker Engine would be asked to run, and what it could not give it. Asks no Engine."""

import os

from ..model.job import JobSpec
from ..spec import elsewhere
from ..spec.argv import final_argv
from ..spec.filemodes import unreadable, unreadable_secrets
from .base import Preview


def preview_of(spec: JobSpec, *, shares_host: bool) -> Preview:
    """`shares_host`: does the Engine see this host's files?"""
    ids = (os.geteuid(), os.getegid())
    problems = tuple(unreadable(spec, *ids)) if spec.files else ()
    if shares_host:
        problems += tuple(unreadable_secrets(spec, *ids)) if spec.secrets else ()
        return Preview(final_argv(spec), problems=problems)
    return Preview(final_argv(spec), tuple(elsewhere.warnings(spec)), (*problems, *elsewhere.refused(spec)))

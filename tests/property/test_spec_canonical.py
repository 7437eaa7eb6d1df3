"""Promise: P1. Any spec reads back exactly from its record, and its digest says as much as the spec itself."""

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.job import (
    CatchUp,
    Concurrency,
    FileMount,
    HistoryLimits,
    JobSpec,
    Mount,
    OnRetire,
    PullPolicy,
    Resources,
    Retries,
    Schedule,
    ScheduleKind,
)
from reconciler.spec.canonical import digest_of, from_data, to_data
from reconciler.spec.durations import MAX_DURATION, format_duration, format_size, parse_duration, parse_size

TEXT = st.text(max_size=8)
SECONDS = st.floats(0, 1e6, allow_nan=False)
PAIRS = st.dictionaries(TEXT, TEXT, max_size=3).map(lambda pairs: tuple(sorted(pairs.items())))
WORDS = st.lists(TEXT, max_size=3).map(tuple)
COUNT = st.integers(0, 1 << 40)


def maybe(of: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | of


SPECS = st.builds(
    JobSpec,
    name=TEXT,
    owner=TEXT,
    schedule=st.builds(Schedule, st.sampled_from(ScheduleKind), TEXT, TEXT, TEXT, TEXT, SECONDS),
    image=TEXT,
    description=TEXT,
    labels=PAIRS,
    suspend=st.booleans(),
    command=maybe(WORDS),
    entrypoint=maybe(WORDS),
    script=maybe(TEXT),
    working_dir=maybe(TEXT),
    user=maybe(TEXT),
    environment=PAIRS,
    resources=st.builds(Resources, maybe(SECONDS), maybe(COUNT), COUNT, maybe(COUNT)),
    mounts=st.lists(
        st.builds(Mount, TEXT, TEXT, TEXT, st.booleans(), st.booleans(), maybe(COUNT), maybe(COUNT)),
        max_size=2,
        unique_by=lambda mount: mount.target,
    ).map(tuple),
    networks=WORDS,
    timeout=SECONDS,
    concurrency_policy=st.sampled_from(Concurrency),
    retries=st.builds(Retries, COUNT, SECONDS, SECONDS, SECONDS, st.lists(COUNT, max_size=2).map(tuple)),
    start_deadline=maybe(SECONDS),
    catch_up=st.sampled_from(CatchUp),
    on_retire=st.sampled_from(OnRetire),
    protect=st.booleans(),
    history=st.builds(HistoryLimits, COUNT, COUNT, SECONDS),
    pull_policy=st.sampled_from(PullPolicy),
    read_only=st.booleans(),
    cap_add=WORDS,
    files=st.lists(st.builds(FileMount, TEXT, TEXT, COUNT, TEXT), max_size=2, unique_by=lambda file: file.target).map(
        tuple
    ),
    moved_from=maybe(TEXT),
)


@settings(max_examples=200, deadline=None)
@given(SPECS)
def test_a_spec_reads_back_exactly(spec: JobSpec) -> None:
    again = from_data(json.loads(json.dumps(to_data(spec))))
    assert again == spec
    assert digest_of(again) == digest_of(spec)


def meaning(spec: JobSpec) -> JobSpec:
    """What the digest is of: without history, and without what order or origin files have."""
    return replace(
        spec,
        moved_from=None,
        mounts=tuple(sorted(spec.mounts, key=lambda mount: mount.target)),
        files=tuple(sorted((replace(file, origin="") for file in spec.files), key=lambda file: file.target)),
    )


@settings(max_examples=300, deadline=None)
@given(SPECS, SPECS)
def test_P1_digests_are_equal_exactly_if_the_meaning_is(one: JobSpec, other: JobSpec) -> None:
    mixed = replace(one, image=other.image, mounts=other.mounts, files=tuple(reversed(one.files)))
    for left, right in ((one, other), (one, mixed), (mixed, replace(mixed, moved_from="x"))):
        assert (digest_of(left) == digest_of(right)) == (meaning(left) == meaning(right))


@given(st.integers(0, int(MAX_DURATION * 1000)))
def test_a_duration_reads_back(millis: int) -> None:
    text = format_duration(millis / 1000)
    assert abs(parse_duration(text) - millis / 1000) < 1e-5


@given(st.integers(0, 1 << 60))
def test_a_size_reads_back(size: int) -> None:
    assert parse_size(format_size(size)) == size

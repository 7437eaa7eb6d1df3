"""Promise: whatever a client sends becomes a checked value or a clear error, and every shape survives the wire."""

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.server import api
from reconciler.server.api import (
    ApiError,
    Applied,
    ApplyPlan,
    Backfill,
    PauseJob,
    RefusalLine,
    ResultLine,
    RunJob,
    Shape,
    Status,
)
from reconciler.server.shapes import INT_LIMIT

SHAPES = [
    shape for name in api.__all__
    if is_dataclass(shape := getattr(api, name)) and issubclass(shape, Shape)
]  # fmt: skip
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
YEARS = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data())
def test_every_shape_survives_the_wire(shape: type[Shape], data: st.DataObject) -> None:
    value = data.draw(st.builds(shape, **{  # type: ignore[arg-type]
        spec.name: YEARS for spec in fields(shape) if spec.name in ("slot", "started_at")
    } | {spec.name: st.none() for spec in fields(shape) if spec.name in ("until", "synced_at")}
      | {spec.name: st.integers(-INT_LIMIT, INT_LIMIT) for spec in fields(shape) if spec.type is int}))  # type: ignore[arg-type]  # fmt: skip
    assert shape.from_data(json.loads(json.dumps(value.to_data()))) == value


@pytest.mark.parametrize(
    ("shape", "data", "message"),
    [
        pytest.param(RunJob, None, "expected an object, got nothing", id="no body"),
        pytest.param(RunJob, [], "expected an object, got a list", id="a list"),
        pytest.param(RunJob, {}, "field 'job' is missing", id="a field missing"),
        pytest.param(RunJob, {"job": "a", "jop": 1}, "unknown field 'jop'", id="a misspelt field"),
        pytest.param(RunJob, {"job": 1}, "field 'job' must be text, not a number", id="a number for text"),
        pytest.param(RunJob, {"job": "x" * 5000}, "longer than 4096", id="endless text"),
        pytest.param(PauseJob, {"job": "a", "until": "tomorrow"}, "must be an instant", id="not an instant"),
        pytest.param(PauseJob, {"job": "a", "until": "2026-11-26T12:00:00"}, "with its zone", id="no zone"),
        pytest.param(PauseJob, {"job": "a", "until": "9999-12-31T23:59:59Z"}, "not within the years", id="far off"),
        pytest.param(PauseJob, {"job": "a", "until": "0001-01-01T00:00:00+14:00"}, "not within", id="long ago"),
        pytest.param(Backfill, {"job": "a", "begin": "0001-01-01T00:00:00Z", "end": "0001-01-01T00:00:00Z"},
                     "field 'begin' is not within the years", id="a span before any slot"),
        pytest.param(PauseJob, {"job": "a", "reason": "x\udcff"}, "field 'reason' is not UTF-8", id="a byte"),
        pytest.param(RunJob, {"job": "a", "parameters": {"s": "\ud800"}}, "'parameters.s' is not UTF-8", id="a half"),
        pytest.param(RunJob, {"job": "a", "max_parallel": 1 << 70}, "too large a number",
                     id="more than can be counted"),
        pytest.param(PauseJob, {"job": "a", "until": 5}, "ISO 8601, not a number", id="a number for an instant"),
        pytest.param(Applied, {"revision": "", "applied": True, "failed": 0, "unchanged": 0}, "must be an integer",
                     id="a truth value for a number"),
        pytest.param(Applied, {"revision": "", "applied": 0, "failed": 0, "unchanged": 0, "results": {}},
                     "must be a list", id="an object for a list"),
        pytest.param(Applied, {"revision": "", "applied": 0, "failed": 0, "unchanged": 0, "results": [3]},
                     "expected an object, got a number", id="a wrong element"),
    ],
)  # fmt: skip
def test_bad_input_is_told_field_by_field(shape: type[Shape], data: object, message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        shape.from_data(data)
    assert caught.value.code == "bad-request"


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.text() | st.sampled_from(["job", "slot", "until", "digest", "results", "message"]), inner
    ), max_leaves=8,
))  # fmt: skip
def test_no_input_raises_anything_but_ApiError(shape: type[Shape], data: object) -> None:
    try:
        assert isinstance(shape.from_data(data), shape)
    except ApiError as error:
        assert str(error)


def test_instants_are_utc_inside_and_an_empty_one_is_none() -> None:
    body = {"job": "etl", "until": "2026-11-26T13:00:00+01:00"}
    assert PauseJob.from_data(body).until == NOON
    assert PauseJob("etl", NOON).to_data() == {"job": "etl", "until": "2026-11-26T12:00:00Z", "reason": ""}
    assert PauseJob.from_data({"job": "etl", "until": ""}) == PauseJob("etl")


def test_nested_shapes_are_written_and_read() -> None:
    applied = Applied(
        "41d7a90", 1, 1, 5,
        results=(ResultLine("create", "etl", True), ResultLine("retire", "old", False, "gone", "x", "look")),
        refusals=(RefusalLine("too-many", "no"),),
    )  # fmt: skip
    assert Applied.from_data(json.loads(json.dumps(applied.to_data()))) == applied


def test_defaults_may_be_left_out() -> None:
    assert ApplyPlan.from_data({}) == ApplyPlan("")
    status = Status("db1", "1.0", 7, NOON, "docker", True)
    assert Status.from_data({k: v for k, v in status.to_data().items() if k not in ("ref", "degraded")}) == status

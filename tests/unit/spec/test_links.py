"""What jobs say of each other is checked when planning: unknown names and circles are errors with their line."""

import pytest

from .kit import JOB, Repo

WRONG = {
    "after a job that is not there": ({"a.yaml": JOB + "after: [{job: etl-order}]\n", "etl-orders.yaml": JOB},
                                      {"a": ("link-unknown", 3)}),
    "waiting for a job that is not there": ({"a.yaml": JOB + "wait_for: [{job: x}]\n"}, {"a": ("link-unknown", 3)}),
    "after itself": ({"a.yaml": JOB + "after: [{job: a}]\n"}, {"a": ("link-cycle", 3)}),
    "a circle of three": (
        {"a.yaml": JOB + "after: [{job: b}]\n", "b.yaml": JOB + "wait_for: [{job: c}]\n",
         "c.yaml": JOB + "\nafter: [{job: a}]\n", "d.yaml": JOB + "after: [{job: a}]\n"},
        {"a": ("link-cycle", 3), "b": ("link-cycle", 3), "c": ("link-cycle", 4)},
    ),
    "two ways to one job are no circle": (
        {"a.yaml": JOB, "b.yaml": JOB + "after: [{job: a}]\n", "c.yaml": JOB + "after: [{job: a}, {job: b}]\n"}, {},
    ),
    "a broken file is still there for others": (
        {"a.yaml": "schedule: manual\n", "b.yaml": JOB + "after: [{job: a}]\n"}, {"a": ("image-missing", 1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), WRONG.values(), ids=WRONG)
def test_links(files: dict[str, str], expected: dict[str, tuple[str, int]]) -> None:
    state = Repo(files).desire()  # type: ignore[arg-type]
    found = {name: (job.problems[0].code, job.problems[0].line) for name, job in state.held.items()}
    assert found == expected
    assert set(state.jobs) == {file.removesuffix(".yaml") for file in files} - set(expected)


def test_an_unknown_name_gets_the_nearest() -> None:
    state = Repo({"a.yaml": JOB + "after: [{job: etl-order}]\n", "etl-orders.yaml": JOB}).desire()
    assert state.held["a"].problems[0].hint == 'did you mean "etl-orders"?'


def test_a_circle_of_thousands_is_found_without_recursion_and_said_shortly() -> None:
    count = 3000
    files = {f"j{n}.yaml": f"{JOB}after: [{{job: j{(n + 1) % count}}}]\n" for n in range(count)}
    state = Repo(files).desire()  # type: ignore[arg-type]
    assert len(state.held) == count
    assert all(len(job.problems[0].message) < 300 for job in state.held.values())


def test_a_link_twice_is_refused() -> None:
    state = Repo({"a.yaml": JOB + "after: [{job: b}, {job: b, on: any}]\n", "b.yaml": JOB}).desire()
    assert state.held["a"].problems[0].code == "job-twice"

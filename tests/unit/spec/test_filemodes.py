"""Promise: P4. What is said of a file that a job cannot read is what Linux would do (see also the Docker tests)."""

import pytest

from reconciler.model.job import FileMount, JobSpec, Schedule, ScheduleKind
from reconciler.spec.filemodes import numeric_user, staged_owner, unreadable
from tests.unit.spec.kit import problems

ROOT, SERVICE = (0, 0), (998, 997)


def told(service: tuple[int, int], mode: int, user: str | None, *caps: str) -> list[str]:
    spec = JobSpec(
        "a", "default", Schedule(ScheduleKind.MANUAL), "busybox", user=user, cap_add=caps,
        files=(FileMount("/ok", "x"), FileMount("/x", "x", mode)),
    )  # fmt: skip
    found = list(unreadable(spec, *service))
    assert all(p.field == "files./x" and p.code == "file-unreadable" and p.hint for p in found)
    return [problem.severity for problem in found]


@pytest.mark.parametrize("user", [None, "1000", "1000:50", "postgres"])
@pytest.mark.parametrize("service", [ROOT, SERVICE], ids=["root", "its own user"])
@pytest.mark.parametrize("mode", [0o444, 0o555, 0o644])
def test_P4_what_everybody_may_read_is_fine(service: tuple[int, int], mode: int, user: str | None) -> None:
    assert told(service, mode, user) == []


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o500, 0o600])
def test_P4_a_service_that_is_not_root_gives_nothing_away(mode: int) -> None:
    for user in (None, "root", "0", "1000", "1000:50", "postgres"):
        assert told(SERVICE, mode, user) == ["error"], user


def test_P4_a_job_that_runs_as_the_service_or_in_its_group_reads_what_that_may() -> None:
    assert told(SERVICE, 0o400, "998") == []
    assert told(SERVICE, 0o440, "1000:997") == []
    assert told(SERVICE, 0o400, "1000:997") == ["error"]


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o500])
def test_P4_a_root_service_gives_a_file_to_a_numeric_user_and_can_only_hope_otherwise(mode: int) -> None:
    assert [told(ROOT, mode, user) for user in ("0", "root", "1000", "1000:50")] == [[], [], [], []]
    assert [told(ROOT, mode, user) for user in (None, "postgres")] == [["warning"], ["warning"]]


def test_P4_root_in_a_container_overrides_modes_only_with_the_capability() -> None:
    assert told(SERVICE, 0o400, "0", "DAC_OVERRIDE") == []
    assert told(SERVICE, 0o400, None, "DAC_OVERRIDE") == ["warning"]
    assert told(SERVICE, 0o400, "1000", "DAC_OVERRIDE") == ["error"]


@pytest.mark.parametrize(
    ("user", "ids"),
    [("1000", (1000, -1)), ("1000:50", (1000, 50)), ("1000:staff", (1000, -1)), ("root", (0, -1)), ("postgres", None),
     ("9" * 20, None), (None, None)],
)  # fmt: skip
def test_a_user_is_known_by_its_number(user: str | None, ids: tuple[int, int] | None) -> None:
    assert numeric_user(user) == ids


def test_only_a_root_service_gives_files_away() -> None:
    assert staged_owner("1000:50", *ROOT) == (1000, 50)
    assert staged_owner("1000", *ROOT) == (1000, 0)
    assert staged_owner("1000:50", *SERVICE) == SERVICE
    assert staged_owner("postgres", *ROOT) == ROOT


@pytest.mark.parametrize("mode", ["0000", "0044", "0222", "004", "0111"])
def test_a_mode_that_no_job_could_read_is_refused_at_its_line(mode: str) -> None:
    (problem,) = problems(f"files:\n  /x:\n    content: a\n    mode: {mode}")
    assert (problem.code, problem.line, problem.pointer, problem.is_error) == ("file-mode", 4, "/files/~1x/mode", True)


@pytest.mark.parametrize("mode", ["0400", "0440", "0555", "644"])
def test_a_mode_that_a_job_could_read_is_left_to_the_host(mode: str) -> None:
    assert problems(f"files:\n  /x:\n    content: a\n    mode: {mode}") == []

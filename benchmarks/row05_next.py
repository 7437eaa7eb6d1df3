"""Row 5: the next fire of 10,000 jobs, in three zones, right through the changes of their clocks; and a round of the
run loop in which none of them is due."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from reconciler.model.job import Schedule, ScheduleKind
from reconciler.schedule.cron import next_fire
from tests.kit.world import World

from .fleet import applied
from .measure import Budget, Case, Other, cold, timed
from .world import desired_of

TITLE = "next fires, right where clocks change"
ZONES = ("Europe/Berlin", "America/New_York", "UTC")
NOW = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)  # hours before the clocks of Berlin go back
AFTER = 3  # fires of each job when its schedule is known


def jobs(count: int) -> list[tuple[str, str]]:
    """Cron line and zone of each; half of the lines are distinct. Of the kinds that people write."""
    forms = ("{m} {h} * * *", "{m} {h} * * mon-fri", "*/{s} {h} * * {w}", "{m} {h}-23/4 * * *", "{m} {h} {d} * *")
    lines: dict[str, None] = {}
    for number in range(count * 2):
        minute, hour, day = number * 7 % 60, number // 60 % 24, number // 97 % 28 + 1
        form = forms[number % len(forms)]
        lines[form.format(m=minute, h=hour, d=day, s=(5, 10, 15, 20, 30)[number % 5], w=number % 7)] = None
        lines[form.format(m=f"{minute},{(minute + 9) % 60}", h=hour, d=f"{day},28", s=25, w="sat,sun")] = None
        if len(lines) >= count // 2:
            break
    distinct = list(lines)[: count // 2]
    return [(distinct[n % len(distinct)], ZONES[n % len(distinct) % len(ZONES)]) for n in range(count)]


def ours(fleet: list[tuple[str, str]]) -> Callable[[], None]:
    def work() -> None:
        for text, zone in fleet:
            assert next_fire(Schedule(ScheduleKind.CRON, text, zone), NOW, NOW) is not None

    return work


def by_croniter(fleet: list[tuple[str, str]]) -> Callable[[], None]:
    def work() -> None:
        for text, zone in fleet:
            assert croniter(text, NOW.astimezone(ZoneInfo(zone))).get_next(datetime)

    return work


def by_cronsim(fleet: list[tuple[str, str]]) -> Callable[[], None]:
    def work() -> None:
        for text, zone in fleet:
            assert next(CronSim(text, NOW.astimezone(ZoneInfo(zone))))

    return work


def _ours_step(text: str, at: datetime, zone: str) -> Callable[[], object]:
    schedule = Schedule(ScheduleKind.CRON, text, zone)

    def step() -> datetime:
        nonlocal at
        found = next_fire(schedule, at, NOW)
        assert found is not None
        at = found
        return found

    return step


def _known(
    make: Callable[[str, datetime, str], Callable[[], object]], fleet: list[tuple[str, str]]
) -> Callable[[], None]:
    """Each sample goes on where the one before ended, so that nobody answers from memory."""
    steps = [make(text, NOW.astimezone(ZoneInfo(zone)), zone) for text, zone in fleet]

    def work() -> None:
        for step in steps:
            for _ in range(AFTER):
                step()

    return work


def _croniter_step(text: str, at: datetime, _: str) -> Callable[[], object]:
    iterator = croniter(text, at)
    return lambda: iterator.get_next(datetime)


def _cronsim_step(text: str, at: datetime, _: str) -> Callable[[], object]:
    iterator = CronSim(text, at)
    return lambda: next(iterator)


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    count = 300 if budget.quick else 10_000
    fleet = jobs(count)
    assert len({text for text, _ in fleet}) == count // 2
    yield Case(
        5, f"{count:,} jobs, half of the lines distinct, nothing read before", cold(ours(fleet)),
        (
            Other("croniter", cold(by_croniter(fleet)), 1 / 10),
            Other("cronsim", cold(by_cronsim(fleet)), 1 / 2),
        ),
        ceiling=0.5, least=5, most=30, warm=0,
    )  # fmt: skip
    few = fleet[: count // 5]
    yield Case(
        5, f"{AFTER} more fires of {len(few):,} jobs, each line read before", timed(_known(_ours_step, few)),
        (
            Other("croniter, its objects kept", timed(_known(_croniter_step, few)), 1 / 10),
            Other("cronsim, its objects kept", timed(_known(_cronsim_step, few)), 1 / 2),
        ),
        least=5, most=30,
    )  # fmt: skip
    yield _tick(count, folder)


def _tick(count: int, folder: Path) -> Case:
    """The whole round, on a real ledger, a second later each time."""
    world = World(folder, start=datetime.now(UTC).replace(microsecond=0))
    rows, _ = applied(desired_of(count))
    world.fleet.publish_standing(rows)
    world.rounds()  # each job is decided once, and asleep from then on

    def pass_time() -> None:
        world.time += timedelta(seconds=1)
        world.boot_time += 1

    what = f"a tick with {count:,} jobs of which none is due"
    return Case(5, what, timed(lambda: world.loop.step(world.time), pass_time), ceiling=0.001, least=50, most=200)

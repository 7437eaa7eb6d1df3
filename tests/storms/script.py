"""A seed in; its storm out: which jobs there are, and what goes wrong when. Draws only, does nothing."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.kit.firing import witnessed_job
from tests.lab.faultproxy import CREATE, EVENTS, INSPECT, LIST, LOGS, REMOVE, RENAME, START
from tests.lab.images import BUSYBOX

SECONDS = 8.0  # that a storm lasts
STARTS, ENDS = "/witness/starts", "/witness/ends"
FAILS_WITH = 3
REQUESTS = {
    "create": CREATE, "start": START, "list": LIST, "inspect": INSPECT, "remove": REMOVE, "rename": RENAME,
    "logs": LOGS, "events": EVENTS, "any": r"^(GET|POST|DELETE) \S*/containers",
}  # fmt: skip
# System calls of the service at which it may be killed: the ledger's flushes and pages, its words with the Engine.
CALLS = ("fdatasync", "fsync", "pwrite64", "sendto", "recvfrom", "connect", "unlink", "ftruncate", "rename")


@dataclass(frozen=True)
class Template:
    """A job: how it is to fire, and what it does after it has said that it started."""

    schedule: str
    more: str = ""
    does: str = ""
    code: int = 0


TEMPLATES = {
    "strict": Template("*/2 * * * * *"),
    "patient": Template("*/3 * * * * *", "concurrency_policy: Allow\nstart_deadline: 5m\n", "sleep 0.7"),
    "queued": Template("*/4 * * * * *", "concurrency_policy: Queue\n", "sleep 1.6"),
    "replaced": Template("*/4 * * * * *", "concurrency_policy: Replace\nstop_grace_period: 1s\n", "sleep 4.5"),
    "failing": Template("*/5 * * * * *", "retries: {limit: 1, delay: 1s}\n", "sleep 0.2", FAILS_WITH),
    "giving": Template("*/5 * * * * *", "outputs: /out\nstart_deadline: 5m\n", 'echo "$RECONCILER_RUN_ID" > /out/id'),
    "follower": Template("manual", "after: [{job: strict, on: any}]\n"),
}  # fmt: skip
ALWAYS = ("strict", "patient")


def job_file(name: str, version: int) -> str:
    """The job in one of its versions, which differ in what they do and never in when."""
    of = TEMPLATES[name.partition("-")[0]]
    end = f'echo "$RECONCILER_JOB $RECONCILER_SLOT $RECONCILER_RUN_ID" >> {ENDS}'
    does = f"{of.does or ':'}; : version {version}; {end}" + (f"; exit {of.code}" if of.code else "")
    return witnessed_job(of.schedule, BUSYBOX, STARTS, of.more, does)


BROKEN = "\nno_such_key: 1\n"


@dataclass(frozen=True)
class Happening:
    """`kind` is a method of the world that carries it out; `at` counts in seconds from the first run on."""

    at: float
    kind: str
    said: tuple[object, ...] = ()

    def __str__(self) -> str:
        return f"+{self.at:5.2f} s  {self.kind} {' '.join(map(str, self.said))}".rstrip()


@dataclass(frozen=True)
class Storm:
    seed: int
    jobs: tuple[str, ...]
    happenings: tuple[Happening, ...]

    def __str__(self) -> str:
        return "\n".join([f"jobs: {', '.join(self.jobs)}", *map(str, self.happenings)])

    def has(self, *kinds: str) -> bool:
        return any(each.kind in kinds for each in self.happenings)


def draw(seed: int, most: int | None = None) -> Storm:
    """The storm of this seed; with `most`, only its first happenings."""
    dice = random.Random(seed)
    others = [name for name in TEMPLATES if name not in ALWAYS]
    jobs = (*ALWAYS, *dice.sample(others, 2))
    kinds: tuple[tuple[int, str, Callable[[], tuple[object, ...]]], ...] = (
        (14, "fault", lambda: _fault(dice)),
        (3, "kill_at_request", lambda: (*_fault(dice, ("drop_before", "drop_after", "outlive"))[:2],
                                        dice.randrange(3), round(dice.uniform(0.2, 6.0), 1))),
        (2, "kill", lambda: (round(dice.uniform(0.0, 1.5), 1),)),
        (2, "kill_at_call", lambda: (dice.choice(CALLS), dice.choice((1, 2, 3, 5, 8, 13, 21, 34)))),
        (1, "end", lambda: (round(dice.uniform(0.0, 1.0), 1),)),
        (2, "prune", lambda: (dice.choice(("containers", "containers", "networks")),)),
        (2, "edit", lambda: (dice.choice(jobs),)),
        (1, "break_file", lambda: (dice.choice(jobs),)),
        (1, "delete", lambda: (dice.choice(jobs[1:]),)),
        (1, "add", lambda: (dice.choice(("strict", "patient", "giving")),)),
        (1, "ask", lambda: (dice.choice(jobs), dice.choice(("one", "two")))),
        (2, "cut", lambda: (dice.choice(("events", "logs", "any")),)),
        (1, "truncate", lambda: (dice.choice(("events", "list", "logs", "inspect")), dice.choice((1, 40, 200, 900)))),
        (1, "freeze", lambda: (round(dice.uniform(0.3, 3.0), 1),)),
        (1, "crash", lambda: (round(dice.uniform(0.0, 1.0), 1),)),
    )  # fmt: skip
    count = dice.randint(8, 14)
    times = sorted(round(dice.uniform(0.0, SECONDS), 2) for _ in range(count))
    found = []
    for at in times:
        _, kind, said = dice.choices(kinds, [weight for weight, _, _ in kinds])[0]
        found.append(Happening(at, kind, said()))
    return Storm(seed, jobs, tuple(found[:most]))


def _fault(dice: random.Random, actions: tuple[str, ...] = ()) -> tuple[object, ...]:
    """(action, request, how many pass first, how often, seconds) of one rule of the proxy."""
    action = dice.choice(actions or (
        "drop_before", "drop_after", "drop_after", "outlive", "outlive", "hang", "hang_after", "error", "garbage",
        "slow", "slow",
    ))  # fmt: skip
    names = ["create"] * 3 + ["start"] * 4 + ["inspect", "remove", "any"] * 2 + ["list", "rename", "logs", "events"]
    if action == "outlive":
        names = ["create", "create", "start", "start", "start", "remove", "rename"]
    longest = {"slow": 3.0, "outlive": 6.0}.get(action, 4.0)
    seconds = round(dice.uniform(0.2, longest), 1)
    if action in ("hang", "hang_after") and dice.random() < 0.1:
        seconds = 65.0  # longer than the longest of our own deadlines
    request = dice.choice(names)
    skip = 0 if request in ("list", "rename", "events") else dice.choice((0, 0, 1, 2))  # those are rare
    return action, request, skip, dice.choice((1, 1, 2, 4)), seconds

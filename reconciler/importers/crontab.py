"""crontab(5) files -> jobs: of a user, or of the system with a column for the user; Debian's, cronie's and others."""

import re
from posixpath import basename

from ..spec.yamlread import forbidden
from .draft import Batch, Draft, Place
from .fields import Field, Table
from .model import NoteCode
from .schedules import keep_cron, keep_zone
from .shell import keep_shell

_VARIABLE = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z_][A-Za-z0-9_]*))\s*=\s*(.*)\Z""")
_ENTRY = re.compile(r"-?(@\S+|\S+(?:\s+\S+){4})\s+(\S.*)\Z")
_TIMES = re.compile(r"-?(?:@[A-Za-z_]|[0-9*~,/?-])")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\$?\Z")
_ANACRON = re.compile(r"(?:[0-9]+|@(?:daily|weekly|monthly))\s+[0-9]+\s+[A-Za-z][\w.-]*\s+\S")
_WORD = re.compile(r"[^\s'\"]+|'[^']*'|\"[^\"]*\"")
_WRAPPERS = frozenset(
    {"nice", "ionice", "flock", "timeout", "env", "sudo", "exec", "sh", "bash", "python", "python3", "perl", "php",
     "ruby", "chronic", "run-parts", "time", "nohup", "run-one", "systemd-cat"}
)  # fmt: skip
_ASIDE = frozenset({"cd", "test", "[", "sleep", "."})  # what comes before the command that is meant
_SYSTEM_FILES = ("/etc/crontab",)
_LONGEST = 1000  # characters of a description
_LONGEST_LINE = 32_000
_HOURS = "START_HOURS_RANGE"


class Crontab:
    """The variables that hold at one line, and the comment before it."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.system = False
        self.variables: dict[str, tuple[str, Place]] = {}
        self.comment: list[str] = []

    def get(self, name: str) -> str:
        return self.variables[name][0] if name in self.variables else ""


TABLES = (
    Table[Crontab]("", (
        Field("five fields", "`schedule`", "day fields as in Debian's cron; a backward range makes it `manual`"),
        Field("`~`", "`H`", "fixed by the job's name instead of random"),
        Field("@hourly ... @yearly", "`schedule`", ""),
        Field("@reboot", "`schedule: manual`", "**needed**: nothing fires when the host comes up"),
        Field("the command", "`script`, or `entrypoint` and `command`", "see above"),
        Field("`%`", "a here-document", "the first ends the command, what follows is its standard input; `\\%` is `%`"),
        Field("the user (system form)", "**needed**", "if other than root: a user of the host"),
        Field("a comment right above", "`description`", ""),
    )),
    Table[Crontab]("", (
        Field("CRON_TZ", "`timezone`", "without it the zone of the machine counted, which the file does not tell"),
        Field("TZ, PATH, HOME and others", "`environment`", "of the lines below"),
        Field("SHELL", "`entrypoint`", "if it is not /bin/sh"),
        Field("MAILTO, MAILFROM, CONTENT_TYPE", "", "the output is in `reconciler logs`"),
        Field("RANDOM_DELAY", "`schedule.jitter`", "fixed by the job's name instead of random"),
        Field(_HOURS, "**needed**", "of anacron"),
    )),
)  # fmt: skip
_MAIL = frozenset({"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"})
_OWN = frozenset({"CRON_TZ", "SHELL", "RANDOM_DELAY", _HOURS})


def read(batch: Batch, data: bytes) -> None:
    """Every line that is an entry. A line that cannot be read is noted, and the others are read."""
    lines = [_decoded(batch, number, raw) for number, raw in enumerate(data.split(b"\n"))]
    crontab = Crontab(batch)
    crontab.system = _is_system(batch, lines)
    for number, line in enumerate(lines):
        _line(crontab, line, Place(number))


def _decoded(batch: Batch, number: int, raw: bytes) -> str:
    try:
        text = raw.removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError:
        if raw.lstrip()[:1] != b"#":
            batch.note(Place(number), NoteCode.UNREADABLE, "the line is not UTF-8", "Save the file as UTF-8.")
        return ""
    if len(text) > _LONGEST_LINE:
        batch.note(Place(number), NoteCode.UNREADABLE, f"the line has more than {_LONGEST_LINE:,} characters")
        return ""
    if forbidden(text) is not None:
        if text.lstrip()[:1] != "#":
            batch.note(Place(number), NoteCode.UNREADABLE, "the line holds an invisible or control character")
        return ""
    return text.strip(" \t")


def _is_system(batch: Batch, lines: list[str]) -> bool:
    """Is there a column for the user? By the file's place, or because one of the users is root."""
    if batch.options.system is not None:
        return batch.options.system
    parts = batch.path.split("/")
    if batch.path in _SYSTEM_FILES or "cron.d" in parts[:-1]:
        return True
    matches = [_ENTRY.match(line) for line in lines if line and line[0] != "#" and _VARIABLE.match(line) is None]
    return any(match is not None and match[2].split(None, 1)[0] == "root" for match in matches)


def _line(crontab: Crontab, line: str, at: Place) -> None:
    if not line:
        crontab.comment.clear()
        return
    if line[0] == "#":
        crontab.comment.append(line.lstrip("# \t"))
        return
    variable = _VARIABLE.match(line)
    if variable is not None and _TIMES.match(line) is None:
        _variable(crontab, variable, at)
    elif (entry := _ENTRY.match(line)) is not None and _TIMES.match(line) is not None:
        _entry(crontab, entry[1], entry[2], at)
    else:
        hint = "Lines of anacrontab(5) are not read." if _ANACRON.match(line) else ""
        crontab.batch.note(at, NoteCode.UNREADABLE, "this is neither an entry nor a variable", hint)
    crontab.comment.clear()


def _variable(crontab: Crontab, match: re.Match[str], at: Place) -> None:
    name, value = match[1] or match[2] or match[3] or "", match[4]
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    if name in _MAIL and not value:
        return  # nobody got a mail
    if name in _MAIL:
        message = f"{name}: nobody gets a mail; the output is in `reconciler logs`"
        crontab.batch.note(at, NoteCode.NO_COUNTERPART, message)
    else:
        crontab.variables[name] = (value, at)


def _entry(crontab: Crontab, times: str, rest: str, at: Place) -> None:
    user = ""
    if crontab.system:
        user, rest = [*rest.split(None, 1), ""][:2]
        if _USER.match(user) is None or not rest.strip():
            crontab.batch.note(at, NoteCode.UNREADABLE, "the column of the user, or the command after it, is missing",
                               "For the crontab of one user import with `--no-system`.")  # fmt: skip
            return
    command, given = _percent(rest.strip())
    of = f" of {user}" if user else ""
    draft = crontab.batch.begin(_name(command[:1000]), at, f'the line "{times}"{of}')
    if draft is None:
        return
    draft.keep("description", " ".join(_description(crontab.comment))[:_LONGEST], at)
    keep_cron(draft, times, at)
    _delay(crontab, draft)
    _zone(crontab, draft, at)
    draft.keep("concurrency_policy", "Allow", at)
    crontab.batch.once(at, NoteCode.WRITTEN_OUT, "cron lets runs overlap (`Allow`)")
    crontab.batch.once(at, NoteCode.LIMIT, "no run had an end of its own; here the default `timeout` counts")
    for name, (value, place) in crontab.variables.items():
        if name not in _OWN:
            draft.variable(name, value, place)
    if given is not None:
        command = _with_input(command, given)
        draft.note(at, NoteCode.MEANING, "what follows the `%` is the standard input of the command")
    keep_shell(draft, command, at, crontab.get("SHELL") or "/bin/sh")
    if user not in ("", "root"):
        draft.note(at, NoteCode.HOST_USER, f"it ran as {user}", "Write a `user:` that the image knows.")
    draft.assume_image("it ran on the host", at)
    if crontab.batch.options.image:
        draft.note(
            at, NoteCode.MEANING, "it ran on the host: programs, files and the working directory are the image's"
        )


def _percent(text: str) -> tuple[str, str | None]:
    r"""The command, and what it reads: an unescaped `%` is a new line, the first one begins the input; `\%` is `%`."""
    parts = [part.replace("\\%", "%") for part in re.split(r"(?<!\\)%", text)]
    return parts[0].rstrip(), "\n".join(parts[1:]) if len(parts) > 1 else None


def _with_input(command: str, given: str) -> str:
    if not given:
        return f"{{ {command}\n}} </dev/null"
    end = "INPUT"
    while end in given.split("\n"):
        end += "_"
    return f"{{ {command}\n}} <<'{end}'\n{given}\n{end}"


def _delay(crontab: Crontab, draft: Draft) -> None:
    minutes, expression = crontab.get("RANDOM_DELAY"), draft.values["schedule"]
    if minutes.isdigit() and 0 < int(minutes[:6]) <= 1440 and expression != "manual":
        at = crontab.variables["RANDOM_DELAY"][1]
        draft.keep("schedule", {"cron": expression, "jitter": f"{int(minutes)}m"}, at)
        draft.note(at, NoteCode.SCHEDULE, "RANDOM_DELAY is a `jitter`: fixed by the name of the job")
    if crontab.get(_HOURS):
        draft.note(crontab.variables[_HOURS][1], NoteCode.MISSING_PART, f"{_HOURS}: only anacron reads it")


def _zone(crontab: Crontab, draft: Draft, at: Place) -> None:
    said = crontab.get("CRON_TZ")
    where = crontab.variables["CRON_TZ"][1] if said else at
    keep_zone(draft, where, said, "", "the times are in the zone of the machine, which the file does not tell")


def _description(comment: list[str]) -> list[str]:
    """The comment right above, unless it is an entry that was switched off, or the head of the columns."""
    return [text for text in comment if text and not _ENTRY.match(text) and not text.startswith(("m h", "-*-", "."))]


def _name(command: str) -> str:
    """`cd /srv && ./bin/backup.sh --full` -> `backup`: the first word that is a program of the user's own."""
    for part in re.split(r"&&|\|\||[;|(){}]", command):
        for word in _WORD.findall(part):
            plain = word.strip("'\"")
            if basename(plain) in _ASIDE:
                break
            if basename(plain) in _WRAPPERS:
                continue
            if plain.startswith("-") or "=" in plain or plain.isdigit():
                continue
            stem = basename(plain.rstrip("/")).rsplit(".", 1)
            return stem[0] if len(stem[-1]) <= 4 and stem[0] else "-".join(stem)
    return "job"

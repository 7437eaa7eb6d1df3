"""Ofelia's jobs -> jobs: from its ini file, from a file of labels, and from the labels of Compose services."""

import json
import re
from collections.abc import Callable, Iterator

from . import later
from .draft import START, Batch, Draft, Mapping, Mark, Node, Scalar, Sequence
from .fields import Field, Table, into
from .ini import read_ini
from .model import NoteCode
from .schedules import keep_go
from .values import flag_of, go_seconds, seconds, text_of

RUN, EXEC, LOCAL, SERVICE = "job-run", "job-exec", "job-local", "job-service-run"
KINDS = (RUN, EXEC, LOCAL, SERVICE)
_LABEL = re.compile(r"(?:ofelia|chadburn)\.(job-[a-z-]+)\.([^.]+)\.([A-Za-z][A-Za-z0-9_-]*)\Z")
_GLOBAL = re.compile(r"(?:ofelia|chadburn)\.([A-Za-z][A-Za-z0-9_-]*)\Z")
_SWITCHES = frozenset({"enabled", "service"})


_OUTSIDE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-[^}]*)?\}")


class Entry:
    """One job of Ofelia: its kind, and its draft."""

    def __init__(self, draft: Draft, kind: str, values: Mapping) -> None:
        self.draft, self.kind, self.values = draft, kind, values

    def said(self, key: str) -> str:
        node = self.values.items.get(key)
        return node.value if isinstance(node, Scalar) else ""


def _draft(entry: Entry) -> Draft:
    return entry.draft


def texts(node: Node) -> list[str]:
    """A text, several of them, or a list in JSON as labels have it."""
    if isinstance(node, Sequence):
        return [text_of(item) for item in node.items]
    text = text_of(node)
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return [text]
        if isinstance(found, list) and all(isinstance(item, str) for item in found):
            return list(found)
    return [text]


def _schedule(entry: Entry, node: Node, at: Mark) -> None:
    what = "Ofelia's times are in the zone of its own container, which is UTC unless TZ says otherwise"
    keep_go(entry.draft, text_of(node), at, usual_zone="UTC", what=what)


def _volumes(entry: Entry, node: Node, at: Mark) -> None:
    """Docker's own names: a volume is the one that there is."""
    for text in texts(node):
        source, _, rest = text.partition(":")
        target, _, mode = rest.partition(":")
        mount = {"type": "bind"} if source.startswith("/") else {"external": True}
        if not rest:
            entry.draft.note(at, NoteCode.MISSING_PART, f"volume {text[:200]}: an anonymous volume")
            continue
        entry.draft.add("volumes", {**mount, "source": source, "target": target,
                                    **({"read_only": True} if "ro" in mode.split(",") else {})}, at)  # fmt: skip


def _environment(entry: Entry, node: Node, at: Mark) -> None:
    for text in texts(node):
        name, equals, value = text.partition("=")
        if equals:
            entry.draft.variable(name, value, at)
        else:
            entry.draft.note(at, NoteCode.UNRESOLVED, f"environment: {name[:80]} had its value from Ofelia's own")


def _network(entry: Entry, node: Node, at: Mark) -> None:
    entry.draft.keep("networks", texts(node), at)


def _pull(entry: Entry, node: Node, at: Mark) -> None:
    entry.draft.keep("pull_policy", "always" if flag_of(node) else "missing", at)


def _overlap(entry: Entry, node: Node, at: Mark) -> None:
    entry.draft.keep("concurrency_policy", "Forbid" if flag_of(node) else "Allow", at)


def _runtime(entry: Entry, node: Node, at: Mark) -> None:
    entry.draft.keep("timeout", seconds(go_seconds(text_of(node))), at)


def _container(entry: Entry, node: Node, at: Mark) -> None:
    name = text_of(node)
    if entry.kind == EXEC:
        later.exec_in(entry.draft, at, name, f'it ran in the container "{name[:120]}", which was there')
    else:
        message = f'it started the container "{name[:120]}", which was there'
        entry.draft.note(at, NoteCode.ELSEWHERE, message, "Write its image and what it needs.")


_MAIL = "the output is in `reconciler logs`"
ENTRY = Table[Entry]("", (
    Field("schedule", "`schedule`", "five fields, or six with seconds; see above for `@every`", _schedule),
    Field("image", "`image`", "", into("image", text_of, _draft)),
    Field("command", "`command`", "split like a command line, as there", into("command", text_of, _draft)),
    Field("entrypoint", "`entrypoint`", "", into("entrypoint", text_of, _draft)),
    Field("user", "`user`", "", into("user", text_of, _draft)),
    Field("environment", "`environment`", "", _environment),
    Field("volume", "`volumes`", "binds and volumes that there are: where policy allows them", _volumes),
    Field("volumes-from", need=True),
    Field("network", "`networks`", "where policy allows it", _network),
    Field("dir", "`working_dir`", "", into("working_dir", text_of, _draft)),
    Field("workdir", "`working_dir`", "", into("working_dir", text_of, _draft)),
    Field("working-dir", "`working_dir`", "", into("working_dir", text_of, _draft)),
    Field("pull", "`pull_policy`", "left out it is `always`, which is written", _pull),
    Field("no-overlap", "`concurrency_policy: Forbid`", "left out it is `Allow`, which is written", _overlap),
    Field("max-runtime", "`timeout`", "", _runtime),
    Field("container", "`exec_in`", "of a `job-exec`; of others **needed**", _container),
    Field("delete", "", "the container is always removed", idle=("true", "false")),
    Field("tty"), Field("hostname"), Field("container-name"), Field("annotations"), Field("run-on-startup"),
    Field("history-limit", "", "see `history`"),
    Field("slack-*", "", _MAIL), Field("mail-*", "", _MAIL), Field("email-*", "", _MAIL), Field("smtp-*", "", _MAIL),
    Field("save-*", "", _MAIL), Field("gotify-*", "", _MAIL), Field("webhook*", "", _MAIL),
))  # fmt: skip
TABLES = (ENTRY,)


def read(batch: Batch, data: bytes, compose: Callable[[Batch, bytes], None]) -> None:
    """An ini file or a file of labels is read here, anything else by `compose`."""
    if not _is_ini(data):
        compose(batch, data)
        return
    loose = Mapping(START)
    for section in read_ini(batch, data):
        if section.kind == "":
            for key, node in section.values.items.items():
                loose.items[key], loose.keys[key] = node, section.values.keys[key]
        elif section.kind == "global":
            for key, at in section.values.keys.items():
                batch.note(at, NoteCode.NO_COUNTERPART, f"[global] {key}: {_MAIL}")
        else:
            entry(batch, section.kind, section.name, section.place, section.values)
    for kind, name, at, values in labelled(batch, loose):
        entry(batch, kind, name, at, values)


def _is_ini(data: bytes) -> bool:
    """Its first line that says something is a section or `key=value`."""
    for raw in data[: 64 << 10].removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        line = raw.strip()
        if line and line[:1] not in b"#;":
            return line[:1] == b"[" or (b"=" in line and b": " not in line.partition(b"=")[0])
    return True


def labelled(batch: Batch, labels: Mapping) -> Iterator[tuple[str, str, Mark, Mapping]]:
    """`(kind, name, place, values)` of the jobs that a map of labels describes; odd ones are noted."""
    jobs: dict[tuple[str, str], Mapping] = {}
    for key, node in labels.items.items():
        at = labels.keys[key]
        match, other = _LABEL.match(key), _GLOBAL.match(key)
        if match is not None:
            values = jobs.setdefault((match[1], match[2]), Mapping(at))
            values.items[match[3]], values.keys[match[3]] = node, at
        elif other is None:
            batch.note(at, NoteCode.UNKNOWN_FIELD, f"{key[:120]} is no label of a job")
        elif other[1] not in _SWITCHES:
            batch.note(at, NoteCode.NO_COUNTERPART, f"{key[:120]}: {_MAIL}")
    for (kind, name), values in jobs.items():
        yield kind, name, values.start_mark, values


def entry(
    batch: Batch, kind: str, name: str, at: Mark, values: Mapping, host: Callable[[Draft], None] | None = None
) -> None:
    """One job. `host` puts in what the service has on whose labels a `job-exec` stands."""
    if kind not in KINDS:
        batch.note(at, NoteCode.NOT_A_JOB, f'{kind[:40]} "{name[:80]}" is no kind of job that is read')
        return
    draft = batch.begin(name or kind, at, f'the {kind} "{name}" of Ofelia')
    if draft is None:
        return
    draft.keep("concurrency_policy", "Allow", at)
    batch.once(at, NoteCode.WRITTEN_OUT, "Ofelia lets runs overlap (`Allow`) unless `no-overlap` is set")
    batch.once(
        at, NoteCode.LIMIT, "a run without max-runtime had no end, or one after 24 h; here the default `timeout` counts"
    )
    if host is not None and kind == EXEC and "container" not in values.items:
        host(draft)
    elif kind == RUN:
        draft.keep("pull_policy", "always", at)
    ENTRY.walk(Entry(draft, kind, values), draft, values)
    _outside(draft, values)
    if "schedule" not in draft.values:
        draft.keep("schedule", "manual", at)
        draft.note(at, NoteCode.BY_HAND, "the job has no schedule", "Give it one.")
    if kind == LOCAL:
        _local(draft, at)
    elif kind == SERVICE:
        draft.note(at, NoteCode.MEANING, "it was a service of the swarm; here it is a container of this host")
    elif kind == EXEC and host is None and "container" not in values.items:
        draft.note(at, NoteCode.ELSEWHERE, "it ran in a container that is not named")
    if "image" not in draft.values and "exec_in" not in draft.values:
        draft.assume_image("it has no image of its own", at)


def _outside(draft: Draft, values: Mapping) -> None:
    """Some versions of Ofelia put variables of their own environment in."""
    for key, node in values.items.items():
        for text in texts(node):
            found = _OUTSIDE.search(text)
            if found is not None:
                message = f"{key[:80]}: ${{{found[1][:80]}}} may be of Ofelia's own environment"
                draft.note(values.keys[key], NoteCode.UNRESOLVED, message, "Write the value.")


def _local(draft: Draft, at: Mark) -> None:
    """It ran where Ofelia ran: on the host, or in Ofelia's own container."""
    given = draft.batch.options.image
    code = NoteCode.MEANING if given else NoteCode.ELSEWHERE
    draft.note(at, code, "it ran where Ofelia runs: programs and files are the image's now")

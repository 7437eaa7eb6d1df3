"""What goes into an import and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ..model.service import ServiceConfig

FORMATS = ("saturn", "kubernetes", "crontab", "ofelia", "compose")
MAX_BYTES = 256 << 10  # of one file
MAX_JOBS = 1000  # of one file
MAX_NOTES = 5000  # of one file


class Kind(StrEnum):
    """What a note means for the reader, the gravest first."""

    LEFT_OUT = "left out"
    NEEDED = "needed"
    LOST = "not kept"
    CHANGED = "changed"


KINDS = {
    Kind.LEFT_OUT: "no job file was written for it",
    Kind.NEEDED: "the job leaned on it; its file is written with `suspend: true` until a person has dealt with it",
    Kind.LOST: "the job runs without it",
    Kind.CHANGED: "kept, but said in another way or with another meaning",
}


class NoteCode(StrEnum):
    """Each with its kind and a sentence: `docs/import.md` is made from here."""

    kind: Kind
    docs: str

    def __new__(cls, value: str, kind: Kind = Kind.LOST, docs: str = "") -> "NoteCode":
        member = str.__new__(cls, value)
        member._value_, member.kind, member.docs = value, kind, docs
        return member

    UNREADABLE = "unreadable", Kind.LEFT_OUT, "The file, or a part of it, cannot be read in this format."
    NOT_A_JOB = "not-a-job", Kind.LEFT_OUT, "This describes something else than a scheduled job."
    REFUSED_JOB = "refused-job", Kind.LEFT_OUT, "The job would not be valid here, whatever is left out of it."
    TOO_MANY = "too-many", Kind.LEFT_OUT, "More jobs, or more notes, than one import takes. Divide the file."
    MISSING_PART = "missing-part", Kind.NEEDED, "Nothing here stands for it, and the job cannot be right without it."
    NOT_YET = "not-yet", Kind.NEEDED, "This version has no field for it. The comment in the file says what it was."
    SECRET = "secret", Kind.NEEDED, "A secret: only its name is in the file. Its value has to be provided on the host."
    IMAGE_ASSUMED = (
        "image-assumed", Kind.NEEDED,
        "It had no image of its own, so one was taken. Choose one that holds its programs, or import with `--image`.",
    )  # fmt: skip
    PLATFORM_IMAGE = (
        "platform-image", Kind.NEEDED, "The image's name is of a platform's own catalogue, not of a registry.",
    )  # fmt: skip
    BY_HAND = "by-hand", Kind.NEEDED, "Its schedule has no counterpart; the job runs by hand only."
    EMPTY_VOLUME = (
        "empty-volume",
        Kind.NEEDED,
        "The volume is a new one of the owner's own: copy what the old one holds.",
    )
    UNRESOLVED = "unresolved", Kind.NEEDED, "A variable of which this file does not tell the value."
    ELSEWHERE = (
        "elsewhere",
        Kind.NEEDED,
        "The command ran in another place: on the host, or in a container that was there.",
    )
    HOST_USER = "host-user", Kind.NEEDED, "The command ran as a user of the host, whom the image may not know."
    WRONG_VALUE = (
        "wrong-value",
        Kind.NEEDED,
        "The value is not one that the field can have there, so it was passed over.",
    )
    REFUSED_PART = (
        "refused-part", Kind.NEEDED, "Valid there, not here: the note has the validator's own words and code.",
    )  # fmt: skip
    NO_COUNTERPART = "no-counterpart", Kind.LOST, "Nothing here stands for it."
    UNKNOWN_FIELD = "unknown-field", Kind.LOST, "The importer does not know this field: look whether it matters."
    REFUSED_DETAIL = "refused-detail", Kind.LOST, "As `refused-part`, of something that the job can do without."
    STRUCTURE = "structure", Kind.CHANGED, "Odd but readable: a key given twice, of which the last counts."
    SCHEDULE = "schedule", Kind.CHANGED, "The line is written in another way, so that it fires as it did."
    ZONE = "zone", Kind.CHANGED, "The file does not say in which zone its times are."
    WRITTEN_OUT = "written-out", Kind.CHANGED, "A default there that differs from ours, so it is written into the file."
    LIMIT = "limit", Kind.CHANGED, "Something unbounded there has a bound here."
    MEANING = "meaning", Kind.CHANGED, "Kept, but it means something slightly different here; the note says what."
    NAME = "name", Kind.CHANGED, "The name was made to fit the rule for job names, or to differ from another one."
    PLAIN_SECRET = "plain-secret", Kind.NEEDED, "A value that looks like a secret: a reference is written in its place."


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """A place in the imported file, from 1; `job` is the name of the job that it is about, "" for the file."""

    path: str
    line: int
    column: int
    code: NoteCode
    message: str
    hint: str = ""
    job: str = ""

    @property
    def kind(self) -> Kind:
        return self.code.kind


@dataclass(frozen=True, slots=True)
class JobFile:
    """One job: its name, the text of its file, which is valid, and whether that says `suspend: true`."""

    name: str
    text: str
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    files: tuple[JobFile, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller decides. `image`: for what has none that can be used here; `timezone`: where the file says none;
    `folder`: the part of the job names before the last slash; `defaults`: the `_defaults.yaml` files above, by their
    path below the jobs directory; `system`: a crontab with a column for the user, None = to be found out; `taken`: last
    parts of names that no job may get."""

    config: ServiceConfig = field(default_factory=ServiceConfig)
    image: str = ""
    timezone: str = ""
    folder: str = ""
    defaults: Mapping[str, bytes] = field(default_factory=dict)
    system: bool | None = None
    taken: frozenset[str] = frozenset()

"""In: a failed answer of the Engine. Out: the error of ours, with a stable code and a hint.

A refusal (the Engine answered that it did nothing) is EngineRejected. A 5xx without known words leaves the result
unknown, so it is EngineUnavailable: the caller looks again by name and never repeats blindly.
"""

from ..model.errors import EngineRejected, EngineUnavailable, ReconcilerError


class Absent(EngineRejected):
    """404, or its removal is under way: the object is not there. Most verbs count that as success."""

    code = "engine-absent"


class Conflict(EngineRejected):
    """409: the name is taken, or the object's state forbids this."""

    code = "engine-conflict"


class Unchanged(EngineRejected):
    """304: it is in that state already."""

    code = "engine-unchanged"


LOGIN_HINT = "Give this registry a username and password_file in the service file."

# (words in the Engine's message, code, hint); the first match counts, whatever the status.
KNOWN = (
    ("no space left on device", "disk-full", "Free space on the Engine's disk: `docker system df` shows what uses it."),
    ("disk quota exceeded", "disk-full", "The quota of the Engine's disk is used up."),
    ("unauthorized", "registry-auth", "Check this registry's username and password_file in the service file."),
    ("no basic auth credentials", "registry-auth", LOGIN_HINT),
    ("authentication required", "registry-auth", LOGIN_HINT),
    ("access denied", "image-missing", "Wrong name, or a registry that asks for a login: check both."),
    ("no such image", "image-missing", "Check the name, or pull the image."),
    ("manifest unknown", "image-missing", "The registry has no such tag."),
    ("manifest for", "image-missing", "The registry has no such tag."),
    ("repository does not exist", "image-missing", "Check the name of the image."),
    ("invalid reference format", "image-invalid", "Write the image as `registry/name:tag`."),
    ("bind source path does not exist", "bind-missing", "Create the directory on the host first."),
    ("minimum memory limit", "resources-invalid", "Docker wants at least 6m of memory."),
    ("could not select device driver", "gpu-unavailable", "The Engine's host lacks the NVIDIA container toolkit."),
    ("nvidia-container-cli", "gpu-unavailable", "The GPU's driver does not answer: try `nvidia-smi` on the host."),
    ("range of cpus", "resources-invalid", "The host has fewer CPUs than `resources.cpus` asks for."),
)  # fmt: skip

# The same, for what the container's own runtime says when it cannot start the command.
KNOWN_AT_START = (
    ("executable file not found", "command-missing", "The image has no such command: see `command` and `script`."),
    ("no such file or directory", "command-missing", "Check that `command` and `working_dir` exist in the image."),
    ("permission denied: unknown", "command-denied", "Not executable, or it needs a capability: see cap_add."),
    ("unable to find user", "user-missing", "Use a number (`1000:1000`), or a user that the image has."),
    ("unable to find group", "user-missing", "Use a number (`1000:1000`), or a group that the image has."),
    ("no matching entries in passwd file", "user-missing", "Use a number (`1000:1000`), or a user that the image has."),
    ("oci runtime", "engine-rejected", ""),
)  # fmt: skip

NO_REGISTRY = ("dial tcp", "no such host", "i/o timeout", "connection refused", "tls handshake", "request canceled",
               "server misbehaving", "net/http", "eof", "toomanyrequests")  # fmt: skip


MANY = "multiple ids found with provided prefix"  # what is no whole id names nothing, however many begin with it
GOING = "marked for removal"  # as good as gone: it can neither be started nor joined any more

# How a lost connection reads inside the HTTP libraries' own wording.
LOST = ("Connection refused", "No such file or directory", "Permission denied", "Connection reset by peer",
        "Broken pipe", "Remote end closed connection")  # fmt: skip


def from_answer(verb: str, thing: str, status: int | None, explanation: str) -> ReconcilerError:
    """The error for an answer with this HTTP status (None = no status) and the Engine's words."""
    words = explanation.strip()
    message, low = f"cannot {verb} {thing}: {short(words)}", words.lower()
    if status == 304:
        return Unchanged(message)
    for phrase, code, hint in (*KNOWN, *KNOWN_AT_START) if verb == "start" else KNOWN:
        if phrase in low and status is not None:
            return EngineRejected(message, code=code, hint=hint)
    if status is not None and MANY in low:
        return Absent(message)
    if status == 404 or GOING in low:
        network = status == 404 and "network" in low
        hint = "It was removed meanwhile: the next pass makes it again." if network else ""
        return Absent(message, code="network-missing" if network else None, hint=hint)
    if status == 409:
        return Conflict(message)
    if status is not None and 400 <= status < 500:
        if "client version" in low:
            return EngineUnavailable(message, code="engine-version")
        return EngineRejected(message)
    return EngineUnavailable(message)


def from_pull(image: str, explanation: str) -> ReconcilerError:
    """The error for a pull that failed half-way. A registry that is away is no fault of the Engine's."""
    later = "The image is pulled again later; pull_policy: missing uses a local one."
    found = _from_registry("pull", image, explanation, later)
    if isinstance(found, EngineUnavailable):
        return EngineRejected(str(found), code="image-pull", hint="Try `docker pull` by hand to see more.")
    return found


def from_push(image: str, explanation: str) -> ReconcilerError:
    """The same for a push."""
    found = _from_registry("push", image, explanation, "Try again when it does.")
    if found.code not in ("registry-auth", "registry-unavailable", "disk-full"):
        hint = "May this registry's login of the service file write there? Try `docker push` by hand to see more."
        return EngineRejected(str(found), code="push-refused", hint=hint)
    return found


def _from_registry(verb: str, image: str, explanation: str, later: str) -> ReconcilerError:
    low = explanation.lower()
    answer = from_answer(verb, image, 500, explanation)
    if isinstance(answer, EngineUnavailable) and any(word in low for word in NO_REGISTRY):
        message = f"cannot {verb} {image}: {short(explanation)}"
        return EngineRejected(message, code="registry-unavailable", hint=f"The registry does not answer. {later}")
    return answer


def short(reason: object, limit: int = 300) -> str:
    """One line of bounded length without the numbers and object addresses that libraries print."""
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    text = " ".join(str(reason).split())
    if "object at 0x" in text or "Connection aborted" in text:
        return next((words.lower() for words in LOST if words in text), "connection lost")
    return text if len(text) <= limit else text[: limit - 1] + "…"

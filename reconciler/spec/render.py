"""Problems as text with the line they mean, as JSON, or as GitHub annotations. Everything shown is escaped (S6)."""

import json
from collections.abc import Iterable, Mapping

from ..model.problem import SpecProblem

FORMATS = ("text", "json", "github")
_WIDTH = 120  # of a quoted line
# Lines of these fields are not quoted: they may hold what should never have been written there.
_UNQUOTED = ("/environment", "/script", "/command", "/entrypoint", "/files")


def render_problems(
    problems: Iterable[SpecProblem], format: str, sources: Mapping[str, bytes] | None = None, *, prefix: str = ""
) -> str:
    """`format` is text, json or github; "" if there are no problems (JSON: an empty list). No newline at the end.

    `sources`, by the problems' paths, lets the text show the line. `prefix` leads from the repository's root to the
    jobs directory, for annotations and wherever else the whole path is needed.
    """
    found = list(problems)
    if format == "json":
        return json.dumps([_plain(problem, prefix) for problem in found], indent=2)
    if format == "github":
        return "\n".join(_annotation(problem, prefix) for problem in found)
    if format != "text":
        raise ValueError(f"no such format: {format}")
    return "\n".join(line for problem in found for line in _text(problem, sources or {}, prefix))


def printable(text: str) -> str:
    """One line without control, bidi or other invisible characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def _text(problem: SpecProblem, sources: Mapping[str, bytes], prefix: str) -> Iterable[str]:
    place = f"{prefix}{problem.path}:{problem.line}:{problem.column}"
    kind = "" if problem.is_error else "warning: "
    yield f"{printable(place)}: {kind}{printable(problem.message)}"
    quoted = _quoted(problem, sources)
    if quoted:
        yield f"    {quoted}"
    if problem.hint:
        yield f"    hint: {printable(problem.hint)}"


def _quoted(problem: SpecProblem, sources: Mapping[str, bytes]) -> str:
    """The line itself, for what its reader is to look at."""
    data = sources.get(problem.path)
    if data is None or problem.pointer.startswith(_UNQUOTED) or not problem.pointer:
        return ""
    lines = data.decode("utf-8", "replace").split("\n")
    if problem.line > len(lines):
        return ""
    line = printable(lines[problem.line - 1].strip())
    text = line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."
    return f"{problem.line} | {text}" if text else ""


def _plain(problem: SpecProblem, prefix: str) -> dict[str, object]:
    return {
        "path": prefix + problem.path,
        "line": problem.line,
        "column": problem.column,
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
        "pointer": problem.pointer,
    }


def _annotation(problem: SpecProblem, prefix: str) -> str:
    """GitHub's workflow command. Nothing in a path or message can end it and begin another."""
    kind = "error" if problem.is_error else "warning"
    place = f"file={_property(prefix + problem.path)},line={problem.line},col={problem.column}"
    title = _property(problem.code)
    text = problem.message + (f"\n{problem.hint}" if problem.hint else "")
    return f"::{kind} {place},title={title}::{_message(text)}"


def _message(text: str) -> str:
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return printable(escaped)


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")

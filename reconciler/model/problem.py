"""What is wrong with a file, as a value: all problems of all files at once, never raised."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, order=True)
class SpecProblem:
    """One problem. `line` and `column` start at 1; `pointer` is a JSON pointer (`/volumes/0/source`)."""

    path: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""
    pointer: str = ""
    severity: str = "error"  # or "warning": shown, holds nothing

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    def at(self, path: str) -> "SpecProblem":
        return replace(self, path=path)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a spec, before it is known where it was written. `field` as in a plan's changes
    (`files./etc/app.ini`); `severity` as in SpecProblem."""

    field: str
    code: str
    message: str
    hint: str = ""
    severity: str = "error"

"""Promise: validating files that are right imports nothing heavy; `jsonschema` is for those that are wrong."""

import subprocess
import sys

SCRIPT = """
import sys
from reconciler.spec.document import read_document
from reconciler.spec.desire import desire
from reconciler.spec.service import parse_service
read_document({data!r}, "a.yaml", "job")
print(*sorted({{"jsonschema", "difflib", "tempfile", "zipfile", "croniter"}} & sys.modules.keys()))
"""


def heavy_imports(data: bytes) -> list[str]:
    script = SCRIPT.format(data=data)
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_a_right_file_needs_nothing_heavy() -> None:
    assert heavy_imports(b'schedule: "30 2 * * 1"\ntimezone: Europe/Berlin\nimage: a\n') == []


def test_jsonschema_is_imported_for_a_wrong_file() -> None:
    assert "jsonschema" in heavy_imports(b"schedul: manual\n")

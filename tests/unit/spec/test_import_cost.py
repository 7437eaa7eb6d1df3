"""Promise: validating files that are right imports nothing heavy; `jsonschema` is for those that are wrong."""

import subprocess
import sys

SCRIPT = """
import sys
from reconciler.spec.document import read_document
from reconciler.spec.desire import desire
from reconciler.spec.service import parse_service
read_document({data!r}, "a.yaml", "job")
print("jsonschema" in sys.modules)
"""


def imports_jsonschema(data: bytes) -> bool:
    script = SCRIPT.format(data=data)
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout == "True\n"


def test_jsonschema_is_imported_for_a_wrong_file_only() -> None:
    assert not imports_jsonschema(b"schedule: manual\nimage: a\n")
    assert imports_jsonschema(b"schedul: manual\n")

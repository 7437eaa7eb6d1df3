"""Promise: a checkout that this service may not remove is not left in silence, and goes as soon as it can."""

import os
from pathlib import Path

from tests.kit.nobody import NOBODY, needs_root, open_to_all, run_as_nobody

IMPORTS = """
import pathlib, time, tests.kit.code
from reconciler.workspace.code import Code
import reconciler.workspace.children, reconciler.workspace.budget
"""
LIFE = """
root = pathlib.Path({root!r})
part = Code(root, root / "runs", lambda _spec: None, left=lambda run, path: print("left", run, path.name))
for run in ("fine", "a.b.1", "a.b.1"):
    part.drop(run)
part._clear()
part._clear()
print(sorted(path.name for path in (root / "runs").iterdir()))
"""


@needs_root
def test_what_belongs_to_another_user_is_told_once_and_tried_again(tmp_path: Path) -> None:
    open_to_all(tmp_path)
    root = tmp_path / "code"
    for run in ("fine", "a.b.1"):
        (root / "runs" / run / "0/made/by").mkdir(parents=True)
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    theirs = root / "runs/a.b.1/0/made"
    (theirs / "by/root").write_text("a container's root\n")
    for path in (theirs, theirs / "by"):
        os.chown(path, 0, 0)
    said = run_as_nobody(IMPORTS, LIFE.format(root=str(root)))
    assert said.splitlines() == ["left a.b.1 .gone-a.b.1", "['.gone-a.b.1']"]
    for path in (theirs, theirs / "by"):
        os.chown(root / "runs/.gone-a.b.1" / path.relative_to(root / "runs/a.b.1"), NOBODY, NOBODY)
    assert run_as_nobody(IMPORTS, LIFE.format(root=str(root))) == "[]"


@needs_root
def test_a_run_that_is_made_again_does_not_find_what_was_left(tmp_path: Path) -> None:
    open_to_all(tmp_path)
    root = tmp_path / "code"
    for name in (".gone-a.b.1", "a.b.1"):
        (root / "runs" / name / "0/made").mkdir(parents=True)
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    for name in (".gone-a.b.1", "a.b.1"):
        os.chown(root / "runs" / name / "0/made", 0, 0)
        (root / "runs" / name / "0/made/by").write_text("root\n")
    said = run_as_nobody(IMPORTS, LIFE.format(root=str(root)))
    told = said.splitlines()
    assert len(told) == 3 and told[0].startswith("left a.b.1.") and told[1] == "left a.b.1 .gone-a.b.1"
    assert not (root / "runs/a.b.1").exists()

"""Promise: a list of packages that is a file of the code is read from the run's own checkout, and nothing else is."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.errors import EngineRejected
from reconciler.model.job import CodeRepository, Packages
from reconciler.model.workspace import Bind, Workspace
from reconciler.workspace.packages import MOST_BYTES, with_files
from tests.kit.orders import make_spec


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "outside.txt").write_text("stolen\n")
    return folder


def read(code: Path, path: str, *, lists: tuple[str, ...] = (), manager: str = "pip") -> tuple[str, ...]:
    spec = replace(make_spec(), repositories=(CodeRepository("https://e.org/a.git", "/work/churn"),),
                   packages=Packages(files=((manager, path),), **{manager: lists}))  # fmt: skip
    assert not spec.packages.in_image, "nobody knows yet what is in it"
    made = with_files(spec, Workspace((Bind("/run/x", "/run/secrets/x"), Bind(str(code), "/work/churn", False))))
    assert made.packages.files == () and made.packages.in_image
    found: tuple[str, ...] = getattr(made.packages, manager)
    return found


def test_lines_are_packages_and_comments_are_none(code: Path) -> None:
    (code / "requirements.txt").write_text(
        "# what we need\r\npandas==2.2.3\n\n  scikit-learn>=1.5,<2  # not 2\nc @ https://e.org/x#egg=c\n"
        "x==1 \\\n --hash=sha256:aa\n"
    )
    assert read(code, "requirements.txt") == (
        "pandas==2.2.3", "scikit-learn>=1.5,<2", "c @ https://e.org/x#egg=c", "x==1   --hash=sha256:aa",
    )  # fmt: skip


def test_a_path_is_within_the_first_repository_or_absolute_and_adds_to_a_list(code: Path) -> None:
    (code / "deep/apt.txt").write_text("jq\nlibgomp1\n")
    assert read(code, "deep/apt.txt", manager="apt") == ("jq", "libgomp1")
    assert read(code, "/work/churn/deep/apt.txt", manager="apt", lists=("jq", "curl")) == ("jq", "curl", "libgomp1")


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("none.txt", None, "No such file"),
        ("../outside.txt", None, "none of the job's repositories"),
        ("/etc/passwd", None, "none of the job's repositories"),
        ("r.txt", "-r other.txt\n", "line 1 is no package"),
        ("r.txt", "a\n-e .\n", "line 2 is no package"),
        ("r.txt", "a\x00b\n", "line 1 is no package"),
        ("r.txt", "x\n" * MOST_BYTES, "more than 64 KiB"),
        ("r.txt", "".join(f"p{n}\n" for n in range(201)), "more than 200"),
        ("deep", None, "cannot install packages"),
    ],
)
def test_what_is_no_list_is_said(code: Path, name: str, text: str | None, why: str) -> None:
    if text is not None:
        (code / name).write_text(text)
    with pytest.raises(EngineRejected) as caught:
        read(code, name)
    assert caught.value.code == "packages-file" and why in str(caught.value)


@pytest.mark.parametrize("where", ["r.txt", "deep/r.txt"])
def test_S5_no_link_leads_to_a_file_of_the_host(code: Path, where: str) -> None:
    if where == "r.txt":
        (code / "r.txt").symlink_to(code.parent / "outside.txt")
    else:
        (code / "deep").rmdir()
        (code / "deep").symlink_to(code.parent)
        (code.parent / "r.txt").write_text("stolen\n")
    with pytest.raises(EngineRejected) as caught:
        read(code, where)
    assert caught.value.code == "packages-file"

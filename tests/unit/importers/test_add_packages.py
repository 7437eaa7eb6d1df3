"""Promise: packages come into the list of a job file in the way in which it is written, and nothing else of it changes;
what is written in another way is left alone."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.importers.add_packages import fragment, with_packages

HEAD = "# a job\nschedule: manual   # by hand\nimage: x\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(HEAD, HEAD + "packages:\n  pip: [rich==13.9.4]\n", id="none yet"),
        pytest.param("image: x", "image: x\npackages:\n  pip: [rich==13.9.4]\n", id="no line break at the end"),
        pytest.param(HEAD + "script: |\n  packages: no\n", HEAD + "script: |\n  packages: no\npackages:\n"
                     "  pip: [rich==13.9.4]\n", id="in a script it is no key"),
        pytest.param("packages:\n  pip: [a==1, 'b>=2,<3']  # loose\nimage: x\n",
                     "packages:\n  pip: [a==1, 'b>=2,<3', rich==13.9.4]  # loose\nimage: x\n", id="on one line"),
        pytest.param("packages:\n  pip: []\n", "packages:\n  pip: [rich==13.9.4]\n", id="an empty one"),
        pytest.param("packages:\n  # ours\n  pip:\n    - a==1  # why\n\n    - b\n  apt: [jq]\nimage: x\n",
                     "packages:\n  # ours\n  pip:\n    - a==1  # why\n\n    - b\n    - rich==13.9.4\n  apt: [jq]\n"
                     "image: x\n",
                     id="one a line"),
        pytest.param("packages:\n  pip:\n  - a\nimage: x\n", "packages:\n  pip:\n  - a\n  - rich==13.9.4\nimage: x\n",
                     id="at the key's own indent"),
        pytest.param("packages:\n    apt: [jq]\n", "packages:\n    pip: [rich==13.9.4]\n    apt: [jq]\n",
                     id="another manager's"),
        pytest.param("packages:\n  pip:\n    - Rich>=12  # old\n", "packages:\n  pip:\n    - rich==13.9.4  # old\n",
                     id="another version, one a line"),
        pytest.param('packages:\n  pip: ["rich >=12", b]\n', "packages:\n  pip: [rich==13.9.4, b]\n",
                     id="another version, on one line"),
        pytest.param("packages: {pip: [a]}\n", None, id="all in braces"),
        pytest.param("packages:\n  pip: {file: requirements.txt}\n", None, id="a file of the code"),
        pytest.param("packages:\n  pip: [a,\n        b]\n", None, id="over several lines"),
        pytest.param("packages:\n  pip: ['a[x,y]>1']\n", "packages:\n  pip: ['a[x,y]>1', rich==13.9.4]\n",
                     id="brackets and commas within"),
        pytest.param("packages:\n  pip: [a, [b]]\n", None, id="no list of names"),
        pytest.param("packages:\n  pip: [*a]\n", "packages:\n  pip: [*a, rich==13.9.4]\n",
                     id="whoever reads it refuses it"),
        pytest.param("packages:\npackages:\n", None, id="twice"),
        pytest.param("packages:\n# nothing\nimage: x\n", None, id="nothing in it"),
    ],
)  # fmt: skip
def test_a_package_is_added_where_its_like_are(before: str, after: str | None) -> None:
    assert with_packages(before, {"pip": ["rich==13.9.4"]}) == after


def test_several_managers_and_packages() -> None:
    made = with_packages("packages:\n  apt:\n    - jq\n", {"pip": ["a==1", "b==2"], "apt": ["curl=8.1"], "conda": []})
    assert made == "packages:\n  pip: [a==1, b==2]\n  apt:\n    - jq\n    - curl=8.1\n"
    assert fragment({"pip": ["a==1"], "apt": []}) == ["packages:", "  pip: [a==1]"]


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}==[0-9]\.[0-9]", fullmatch=True)


@given(st.lists(NAMES, max_size=5, unique_by=lambda n: n.partition("=")[0]), st.lists(NAMES, min_size=1, max_size=4,
       unique_by=lambda n: n.partition("=")[0]), st.booleans())  # fmt: skip
def test_what_is_read_again_has_the_old_ones_and_the_new_ones(old: list[str], new: list[str], block: bool) -> None:
    written = "\n" + "".join(f"    - {name}\n" for name in old) if block and old else f" [{', '.join(old)}]\n"
    made = with_packages(f"packages:\n  pip:{written}image: x\n", {"pip": new})
    assert made is not None
    read = yaml.safe_load(made)
    names = {name.partition("=")[0] for name in new}
    assert read["image"] == "x"
    assert sorted(read["packages"]["pip"]) == sorted([*new, *(n for n in old if n.partition("=")[0] not in names)])


@given(st.text(alphabet="packges:pi \n-[]{}#'\"ab=,", max_size=80))
def test_whatever_is_there_it_answers(text: str) -> None:
    made = with_packages(text, {"pip": ["rich==13.9.4"]})
    assert made is None or "rich==13.9.4" in made

"""Only what this instance signed, under the very name that its identity derives, counts as ours (rule P2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import labels
from reconciler.engine.labels import Kind, Mark, network_name, owned_by_mark, read, volume_name, write
from tests.kit.orders import engine_context

OURS = engine_context("/state", "db1", "a")
THEIRS = engine_context("/state", "db1", "b")
STANDING = Mark(Kind.STANDING, "group/ml", "ml/train", "", "d" * 64, "9f3c2e1")
RUN = Mark(Kind.RUN, "group/ml", "ml/train", "ml.train.20261124T020000Z.1", "d" * 64, "9f3c2e1")

TEXT = st.text(max_size=12)
MARKS = st.builds(Mark, st.sampled_from(Kind), TEXT, TEXT, TEXT, TEXT, TEXT)


@given(MARKS)
def test_P2_what_was_written_is_read_back(mark: Mark) -> None:
    assert read(OURS, write(OURS, mark)) == mark


@given(MARKS, st.sampled_from([key for key in labels.KEYS if key not in (labels.REVISION, labels.INSTANCE)]), TEXT)
def test_P2_any_changed_label_breaks_the_mac(mark: Mark, key: str, value: str) -> None:
    written = write(OURS, mark)
    if written[key] != value:
        assert read(OURS, {**written, key: value}) is None


@given(MARKS, MARKS)
def test_P2_two_identities_never_share_a_mac(one: Mark, other: Mark) -> None:
    if one._replace(revision="") != other._replace(revision=""):
        assert write(OURS, one)[labels.MAC] != write(OURS, other)[labels.MAC]


def test_P2_another_instance_of_the_same_name_is_foreign() -> None:
    assert read(OURS, write(THEIRS, STANDING)) is None
    assert read(OURS, {**write(THEIRS, STANDING), labels.INSTANCE_ID: OURS.instance_id}) is None


@pytest.mark.parametrize("stray", [None, {}, {"maintainer": "x"}, {labels.INSTANCE_ID: OURS.instance_id}])
def test_P2_missing_labels_are_nobodys(stray: dict[str, str] | None) -> None:
    assert read(OURS, stray) is None


def test_P2_every_key_of_ours_is_always_set_so_an_images_labels_are_overridden() -> None:
    assert set(write(OURS, STANDING)) == set(labels.KEYS)
    assert set(write(OURS, Mark(Kind.NETWORK, "x", digest="n"))) == set(labels.KEYS)


@pytest.mark.parametrize(
    ("mark", "name", "ours"),
    [
        pytest.param(STANDING, "db1.ml.train", True, id="a standing job under its own name"),
        pytest.param(STANDING, "db1.ml.train.NEW", True, id="its replacement on the way in"),
        pytest.param(STANDING, "db1.ml.other", False, id="its labels copied to another name"),
        pytest.param(RUN, "db1.ml.train.20261124T020000Z.1", True, id="a run under its own name"),
        pytest.param(RUN, "db1.ml.train", False, id="a run's labels under a standing job's name"),
        pytest.param(RUN, "shop-database", False, id="a run's labels on a foreign container"),
        pytest.param(Mark(Kind.VOLUME, "ml", digest="db1.ml.data"), "db1.ml.data", True, id="a volume"),
        pytest.param(Mark(Kind.VOLUME, "ml", digest="db1.ml.data"), "db1.ml.other", False, id="another volume"),
    ],
)
def test_P2_copied_labels_prove_nothing_under_another_name(mark: Mark, name: str, ours: bool) -> None:
    assert (owned_by_mark(OURS, write(OURS, mark), name) == mark) is ours


def test_a_label_that_is_not_ascii_is_foreign_and_no_error() -> None:
    assert read(OURS, {**write(OURS, STANDING), labels.MAC: "größe\udc80"}) is None


def test_names_of_networks_and_volumes_are_the_owners() -> None:
    assert network_name("db1", "group/ml") == "db1.group.ml"
    assert volume_name("db1", "group/ml", "models") == "db1.group.ml.models"

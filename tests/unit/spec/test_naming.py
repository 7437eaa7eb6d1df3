"""Promise (S1): a member gives a built image no name that the administrator has not listed; odd names are refused."""

import pytest

from reconciler.model.service import Owner, Policy, ServiceConfig
from reconciler.spec.naming import fault, may_name

ML = ("registry.example.org/ml/**",)


def config(top: tuple[str, ...], own: tuple[str, ...] | None) -> ServiceConfig:
    return ServiceConfig(
        policy=Policy(push=top), owners=(Owner("ml", policy=None if own is None else Policy(push=own)),)
    )


@pytest.mark.parametrize(
    ("top", "own", "name", "may"),
    [
        pytest.param((), None, "registry.example.org/ml/x:1", False, id="nothing is listed, nothing is granted"),
        pytest.param(ML, None, "registry.example.org/ml/x:1", True, id="an owner without a policy has the global list"),
        pytest.param(ML, (), "registry.example.org/ml/x:1", False, id="one with a policy has what it lists"),
        pytest.param(ML, ML, "registry.example.org/ml/a/b", True, id="both list it"),
        pytest.param((), ML, "registry.example.org/ml/x:1", False, id="the global list is the ceiling"),
        pytest.param(ML, ("**",), "registry.example.org/web/x:1", False, id="however wide the owner's own is"),
        pytest.param(ML, ML, "registry.example.org/mlops/x:1", False, id="a part is a whole part"),
        pytest.param(ML, ML, "evil.example/registry.example.org/ml/x", False, id="no other registry poses as it"),
        pytest.param(("postgres:*",), None, "postgres:17", True, id="a name of the hub, in its short form"),
        pytest.param(ML, ML, "postgres:17", False, id="what others run is not renamed"),
    ],
)
def test_S1_a_member_names_what_is_listed(
    top: tuple[str, ...], own: tuple[str, ...] | None, name: str, may: bool
) -> None:
    assert may_name(config(top, own), "ml", name) is may


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("registry.example.org/ml/x:1", ""),
        ("x", ""),
        ("X", "has capital letters in its name"),
        ("x@sha256:" + "a" * 64, "has a digest, which only its registry gives"),
        ("x:", "has a tag that is not letters, digits and _ . -"),
        ("a" * 64, "is an id of this machine, not a name"),
    ],
)
def test_a_name_is_one_of_an_image(name: str, why: str) -> None:
    assert fault(name) == why

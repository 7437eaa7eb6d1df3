"""Promise: doctor says what of the service file this machine cannot honour, and calls it no fault."""

from reconciler.cli.doctor import WARN, people
from reconciler.model.service import Person, ServiceConfig


def test_S1_an_account_that_this_host_does_not_have_is_a_warning() -> None:
    config = ServiceConfig(
        people=(Person("anna", "no-such-user-here"), Person("ops", "root"), Person("x", email="x@y"))
    )
    assert [(level, what, found) for level, what, found, _ in people(config)] == [
        (WARN, "people", "anna: there is no user no-such-user-here on this host")
    ]

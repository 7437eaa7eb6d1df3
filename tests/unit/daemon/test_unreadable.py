"""Rule D2: a repository that cannot be read keeps nothing from going on, not even right after a start."""

from pathlib import Path

from tests.kit.synced import Synced


def test_D2_the_engine_is_listed_while_the_repository_cannot_be_read(tmp_path: Path) -> None:
    """The run loop adopts, and leases devices, on the strength of the first listing."""
    synced = Synced(tmp_path)
    synced.write("first", "a:1")
    synced.rounds()
    (tmp_path / "repo").rename(tmp_path / "away")
    synced.restart()
    synced.rounds()
    view = synced.fleet.view
    assert not synced.fleet.conditions["source"].ok and view.desired is None
    assert view.live is not None and view.live.complete and "first" in view.live.jobs
    assert "first" in synced.history.standing()
    synced.close()

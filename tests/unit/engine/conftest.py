"""A reachable folder, and a process engine on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.process import ProcessEngine
from tests.kit.folders import reachable_folder
from tests.unit.engine.process_kit import engine_on


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as path:
        yield path


@pytest.fixture
def process(folder: Path) -> Iterator[ProcessEngine]:
    with engine_on(folder) as engine:
        yield engine

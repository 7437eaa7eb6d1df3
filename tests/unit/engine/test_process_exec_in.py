"""Promise: a job in another container is refused where there are none: in the plan, at its line, and at the apply."""

from pathlib import Path

import pytest

from reconciler.engine.process import ProcessEngine
from reconciler.model.errors import EngineRejected
from tests.kit.orders import engine_context, make_spec, run_order, standing_order

SPEC = make_spec(image="", exec_in="shop-db-1")


def test_S1_it_is_refused_with_a_code_and_a_hint(tmp_path: Path) -> None:
    engine = ProcessEngine(engine_context(str(tmp_path)))
    preview = engine.preview(SPEC)
    (problem,) = preview.problems
    assert (problem.field, problem.code, preview.warnings) == ("exec_in", "exec-unsupported", ())
    assert "shop-db-1" in problem.message and problem.hint
    assert engine.preview(make_spec()).problems == ()
    for call in (lambda: engine.install(standing_order(SPEC)), lambda: engine.prepare(run_order(SPEC))):
        with pytest.raises(EngineRejected) as caught:
            call()
        assert caught.value.code == "exec-unsupported"
    assert engine.observe().jobs == {}
    engine.close()

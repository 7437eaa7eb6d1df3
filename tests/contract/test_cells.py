"""Promise: the cells of one slot are runs of their own on every engine, told apart by their run ids."""

from dataclasses import replace

from reconciler.engine.base import Engine, RunOrder
from reconciler.model.ids import parse_run_id, run_id
from reconciler.model.live import LivePhase
from tests.kit.orders import SLOT, exits, run_order, shows_environment, takes

from .conftest import Lab, ended, log_of


def cell(order: RunOrder, number: int, attempt: int = 1) -> RunOrder:
    identity = run_id(order.spec.name, SLOT, attempt, number)
    environment = (*order.spec.environment, ("RECONCILER_RUN_ID", identity), ("RECONCILER_CELL", str(number)))
    return replace(order, run_id=identity, environment=environment)


def test_R1_cells_of_a_slot_run_side_by_side_and_each_is_found_by_its_own_id(lab: Lab, engine: Engine) -> None:
    order = run_order(lab.spec(takes(0.2)))
    orders = [cell(order, number) for number in (0, 3, 10)]
    refs = [engine.prepare(one).ref for one in orders]
    assert len(set(refs)) == 3
    for one, ref in zip(orders, refs, strict=True):
        engine.launch(one.run_id, ref)
    seen = engine.observe().runs
    assert {run.job for run in seen.values()} == {"demo/hello"}
    assert sorted(parse_run_id(name).cell or 0 for name in seen) == [0, 3, 10]
    assert [ended(engine, one.run_id, ref).exit_code for one, ref in zip(orders, refs, strict=True)] == [0, 0, 0]
    engine.discard(orders[1].run_id, refs[1])
    assert sorted(engine.observe().runs) == sorted([orders[0].run_id, orders[2].run_id])


def test_R1_a_cell_prepared_twice_is_one_run_and_a_retry_another(lab: Lab, engine: Engine) -> None:
    order = run_order(lab.spec(exits(1)))
    first, again = cell(order, 3), cell(order, 3, attempt=2)
    assert engine.prepare(first).ref == engine.prepare(first).ref
    assert engine.prepare(again).ref != engine.prepare(first).ref
    assert {run.phase for run in engine.observe().runs.values()} == {LivePhase.CREATED}


def test_a_cell_finds_its_number_in_its_environment(lab: Lab, engine: Engine) -> None:
    order = cell(run_order(lab.spec(shows_environment("RECONCILER_CELL"))), 7)
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)
    ended(engine, order.run_id, ref)
    if engine.name != "memory":  # it runs no command
        assert log_of(engine, order.run_id, ref) == b"RECONCILER_CELL=7\n"

"""Random processes under random orders of commands keep the kernel's promises."""

from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel.errors import Refused
from engine.kernel.state import ASYNC, MESSAGE, TIMER, Execution, Instance, Tree
from engine.kernel.values import variables_of
from tests.engine.kernel.harness import MemoryEngine, state_of
from tests.properties.blocks import Block, blocks, document_of

MOST_COMMANDS = 400
Action = Callable[[], object]


def actions_of(engine: MemoryEngine, root_id: str) -> list[Action]:
    """All that could happen next, oldest first."""
    rows = engine.rows[root_id]

    def complete(task_id: str) -> Action:
        return lambda: engine.run(root_id, cmd.CompleteTask(task_id=task_id))

    def deliver(execution_id: str, subscription_id: str, name: str) -> Action:
        command = cmd.DeliverMessage(execution_id=execution_id, subscription_id=subscription_id, name=name)
        return lambda: engine.run(root_id, command)

    def execute(job_id: str) -> Action:
        return lambda: engine.run(root_id, cmd.ExecuteJob(job_id=job_id))

    found = [complete(task_id) for task_id in rows.tasks]
    found += [deliver(s.execution_id, s.id, s.name) for s in rows.subscriptions.values() if s.kind == MESSAGE]
    return found + [execute(job.id) for job in rows.jobs.values() if job.kind in (ASYNC, TIMER)]


def check_nothing_hangs(engine: MemoryEngine, root_id: str) -> None:
    """Every token has a reason to wait, and every row of the store belongs to a token."""
    tree, rows = engine.trees[root_id], engine.rows[root_id]
    waits: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    for instance in tree.instances.values():
        waits.update(wait.id for wait in instance.waits)
        for execution in instance.executions.values():
            waits.update(wait.id for wait in execution.waits)
            tasks.update([execution.task] if execution.task else [])
            assert _has_reason(engine, tree, instance, execution), f"nothing will move the token at {execution.element}"
    assert waits == Counter([*rows.jobs, *rows.subscriptions])
    assert tasks == Counter(list(rows.tasks))


def _has_reason(engine: MemoryEngine, tree: Tree, instance: Instance, execution: Execution) -> bool:
    if execution.waits or execution.task or instance.children_of(execution.id):
        return True
    if execution.called:
        return not tree.instances[execution.called].is_ended
    node = engine.definitions.by_id(instance.definition_id).nodes[execution.element]
    return node.kind.tag in ("parallelGateway", "inclusiveGateway") and len(node.incoming) > 1


def check(engine: MemoryEngine, root_id: str) -> None:
    engine.check_replay()
    check_nothing_hangs(engine, root_id)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(block=blocks(), value=st.integers(0, 3), data=st.data())
def test_any_order_of_commands_brings_one_token_to_the_end(block: Block, value: int, data: st.DataObject) -> None:
    engine = MemoryEngine(cold=True)
    engine.deploy(document_of(block))
    root_id = engine.start("p", {"v": value}).root_id
    check(engine, root_id)

    for _ in range(MOST_COMMANDS):
        actions = actions_of(engine, root_id)
        if not actions:
            break
        actions[data.draw(st.integers(0, len(actions) - 1))]()
        check(engine, root_id)

    assert state_of(engine.trees[root_id]) == "completed"
    started = [e.element_id for e in engine.history[root_id] if isinstance(e, ev.ElementStarted)]
    assert started.count("mainEnd") == 1


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(block=blocks(), value=st.integers(0, 3), data=st.data())
def test_an_instance_that_is_disturbed_stays_whole(block: Block, value: int, data: st.DataObject) -> None:
    """Suspending, moving tokens, setting variables and deleting in between leave no token without a reason."""
    engine = MemoryEngine(cold=True)
    (definition, _) = engine.deploy(document_of(block))
    root_id = engine.start("p", {"v": value}).root_id
    elements = [n.id for n in definition.process.inside if n.kind.tag == "userTask"]

    for _ in range(12):
        actions = actions_of(engine, root_id) + _disturbances(engine, root_id, elements, data)
        if state_of(engine.trees[root_id]) not in ("active", "suspended"):
            break
        try:
            actions[data.draw(st.integers(0, len(actions) - 1))]()
        except Refused as refused:
            assert refused.reason in ("process-instance-suspended", "already-suspended", "already-active", "not-active")
        check(engine, root_id)

    if state_of(engine.trees[root_id]) in ("active", "suspended"):
        engine.run(root_id, cmd.DeleteInstance(instance_id=root_id))
        check(engine, root_id)


def _disturbances(engine: MemoryEngine, root_id: str, elements: list[str], data: st.DataObject) -> list[Action]:
    def run(command: cmd.Command) -> Action:
        return lambda: engine.run(root_id, command)

    found = [
        run(cmd.SuspendInstance(instance_id=root_id)),
        run(cmd.ActivateInstance(instance_id=root_id)),
        run(cmd.SetVariables(execution_id=root_id, variables=variables_of({"v": data.draw(st.integers(0, 3))}))),
    ]
    if elements:
        here, there = data.draw(st.sampled_from(elements)), data.draw(st.sampled_from(elements))
        found.append(run(cmd.ChangeState(instance_id=root_id, cancel=[here], start=[there])))
    return found

"""Tests of sub process elements."""

from engine.kernel import commands as cmd
from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, tasks_of
from tests.engine.kernel.models import boundary, end, event_sub_process, flows, model, start, sub_process, user_task


class TestSubProcess(WaitingContract):
    content = (
        start() + sub_process("x", start("s2"), user_task("a"), end("e2"), flows("s2>a>e2")) + end() + flows("s>x>e")
    )

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.complete(tree, next(iter(engine.trees[tree.root_id].tasks.values())).name)


def test_a_boundary_event_on_an_event_sub_process_never_happens() -> None:
    message = '<messageEventDefinition messageRef="m"/>'
    engine = engine_with(
        model(
            start(),
            user_task("a"),
            end(),
            event_sub_process("es", start("es1", message), user_task("h"), flows("es1>h")),
            boundary("b", "es", '<signalEventDefinition signalRef="g"/>'),
            user_task("n"),
            flows("s>a>e b>n"),
            root='<message id="m" name="m"/><signal id="g" name="g"/>',
        )
    )
    tree = engine.start("p")

    engine.run(tree.root_id, cmd.DeliverMessage(execution_id=tree.root_id, name="m"))
    engine.run(tree.root_id, cmd.DeliverSignal(execution_id=tree.root_id, name="g"))

    assert tasks_of(engine.trees[tree.root_id]) == ["h"]

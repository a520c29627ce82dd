"""Tests of ad hoc sub process elements."""

from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import end, flows, start, sub_process, user_task


class TestAdHocSubProcess(WaitingContract):
    content = start() + sub_process("x", user_task("a"), tag="adHocSubProcess") + end() + flows("s>x>e")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.trigger(tree, "x")

"""Tests of receive task elements."""

from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import end, flows, start


class TestReceiveTask(WaitingContract):
    content = start() + '<receiveTask id="x"/>' + end() + flows("s>x>e")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.trigger(tree, "x")

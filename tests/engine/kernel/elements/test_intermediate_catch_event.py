"""Tests of intermediate catch event elements."""

from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import catch, end, flows, start


class TestIntermediateCatchEvent(WaitingContract):
    content = start() + catch("x") + end() + flows("s>x>e")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.trigger(tree, "x")

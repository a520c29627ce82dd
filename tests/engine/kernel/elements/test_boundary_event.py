"""Tests of boundary event elements."""

from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import boundary, end, flows, message, messages, start, user_task


class TestBoundaryEvent(WaitingContract):
    content = (
        start() + user_task("x") + boundary("b", "x", message("m"), interrupting=False) + end() + flows("s>x>e b>e")
    )
    root = messages("m")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.complete(tree, next(iter(engine.trees[tree.root_id].tasks.values())).name)

"""Tests of exclusive gateway elements."""

from engine.kernel.state import Tree
from tests.engine.kernel.contract import ElementContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import end, flows, start, user_task


class TestExclusiveGateway(ElementContract):
    content = start() + '<exclusiveGateway id="x"/>' + user_task("a") + end() + flows("s>x>a>e")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.complete(tree, next(iter(engine.trees[tree.root_id].tasks.values())).name)

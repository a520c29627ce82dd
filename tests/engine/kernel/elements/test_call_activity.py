"""Tests of call activity elements."""

from engine.kernel.state import Tree
from tests.engine.kernel.contract import ElementContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import end, flows, process, start, user_task


class TestCallActivity(ElementContract):
    content = start() + '<callActivity id="x" calledElement="c"/>' + end() + flows("s>x>e")
    called = process(start("cs"), user_task("ct"), end("ce"), flows("cs>ct>ce"), key="c")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.complete(tree, next(iter(engine.trees[tree.root_id].tasks.values())).name)

"""Tests of sub process elements."""

from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import end, flows, start, sub_process, user_task


class TestSubProcess(WaitingContract):
    content = (
        start() + sub_process("x", start("s2"), user_task("a"), end("e2"), flows("s2>a>e2")) + end() + flows("s>x>e")
    )

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.complete(tree, next(iter(engine.trees[tree.root_id].tasks.values())).name)

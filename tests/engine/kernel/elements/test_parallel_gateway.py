"""Tests of parallel gateway elements."""

from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import end, flows, start, user_task


class TestParallelGateway(WaitingContract):
    content = (
        start()
        + '<parallelGateway id="fork"/><parallelGateway id="join"/>'
        + user_task("a")
        + user_task("b")
        + end()
        + flows("s>fork>a>join>e fork>b>join")
    )

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.complete(tree, next(iter(engine.trees[tree.root_id].tasks.values())).name)

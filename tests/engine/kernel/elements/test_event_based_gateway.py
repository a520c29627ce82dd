"""Tests of event based gateway elements."""

from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract
from tests.engine.kernel.harness import MemoryEngine
from tests.engine.kernel.models import catch, end, flows, message, messages, start, timer


class TestEventBasedGateway(WaitingContract):
    content = (
        start()
        + '<eventBasedGateway id="x"/>'
        + catch("a", message("m"))
        + catch("b", timer("timeDuration", "PT1H"))
        + end()
        + flows("s>x>a>e x>b>e")
    )
    root = messages("m")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.message(tree, "m")

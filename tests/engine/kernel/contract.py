"""What every element must keep to, whatever it does: it ends, is cancelled and repeated, and leaves nothing."""

from collections.abc import Callable

import pytest

from engine.effects.scripts import JavaScript
from engine.kernel import commands as cmd
from engine.kernel.state import Tree
from tests.engine.kernel.harness import MemoryEngine, state_of
from tests.engine.kernel.models import (
    boundary,
    document,
    end,
    flows,
    loop,
    message,
    messages,
    process,
    start,
    sub_process,
)

MOST_STEPS = 50
Drive = Callable[[MemoryEngine, Tree], None]


def engine_with(*documents: str) -> MemoryEngine:
    """An engine that runs each command on a tree loaded from rows, with these documents deployed."""
    engine = MemoryEngine(JavaScript(), cold=True)
    for each in documents:
        engine.deploy(each)
    return engine


class ElementContract:
    """Inherited by the test class of an element.

    `content` is a flow with start event `s` that comes to its end by itself; `root` and `called` what it refers to.
    """

    content: str
    root: str = ""
    called: str = ""
    waits: bool = False

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        raise AssertionError("expected an element that does not wait, found one that does")

    def _finish(self, engine: MemoryEngine, tree: Tree) -> None:
        for _ in range(MOST_STEPS):
            if state_of(engine.trees[tree.root_id]) != "active":
                break
            self.step(engine, tree)
        engine.check_replay()
        assert state_of(engine.trees[tree.root_id]) == "completed"

    def _wrapped(self, inner: str = "", after: str = "") -> MemoryEngine:
        content = process(
            start("outerStart"),
            sub_process("outer", inner, self.content),
            after,
            end("outerEnd"),
            flows("outerStart>outer>outerEnd"),
        )
        return engine_with(document(content, self.called, root=self.root + messages("stop")))

    def test_a_process_with_it_runs_to_its_end_and_leaves_nothing(self) -> None:
        engine = engine_with(document(process(self.content), self.called, root=self.root))

        tree = engine.start("p")

        assert (state_of(tree) == "active") is self.waits
        self._finish(engine, tree)

    @pytest.mark.parametrize("sequential", [False, True])
    def test_inside_a_multi_instance_each_turn_has_its_own(self, sequential: bool) -> None:
        engine = self._wrapped(inner=loop("2", sequential=sequential))

        tree = engine.start("p")

        self._finish(engine, tree)


class WaitingContract(ElementContract):
    """Inherited by the test class of an element that waits; `step` does one thing that lets it go on."""

    waits = True

    def test_cancelled_while_it_waits_it_leaves_nothing(self) -> None:
        engine = self._wrapped(after=boundary("stopped", "outer", message("stop")))
        tree = engine.start("p")
        engine.message(tree, "stop")

        engine.check_replay()
        assert state_of(engine.trees[tree.root_id]) == "completed"

    def test_deleted_while_it_waits_it_leaves_nothing(self) -> None:
        engine = self._wrapped()
        tree = engine.start("p")
        engine.run(tree.root_id, cmd.DeleteInstance(instance_id=tree.root_id, reason="enough"))

        engine.check_replay()
        assert state_of(engine.trees[tree.root_id]) == "terminated"

"""Links: a flow without a line."""

import pytest

from engine.bpmn.problems import InvalidModel
from tests.engine.kernel.contract import ElementContract, engine_with
from tests.engine.kernel.harness import tasks_of
from tests.engine.kernel.models import catch, end, flow, flows, model, start, throw, user_task

LINK = '<linkEventDefinition name="far"/>'


class TestLink(ElementContract):
    content = start() + throw("x", LINK) + catch("y", LINK) + end() + flows("s>x y>e")


def test_a_link_counts_as_a_way_to_an_inclusive_join() -> None:
    engine = engine_with(
        model(
            start(),
            '<inclusiveGateway id="f"/><inclusiveGateway id="j"/>',
            user_task("a"),
            user_task("b"),
            throw("x", LINK),
            catch("y", LINK),
            user_task("after"),
            flows("s>f>a>j>after f>b>x"),
            flow("y", "j"),
        )
    )
    tree = engine.start("p")

    engine.complete(tree, "a")
    assert tasks_of(engine.trees[tree.root_id]) == ["b"]
    engine.complete(tree, "b")

    assert tasks_of(engine.trees[tree.root_id]) == ["after"]


def test_a_link_that_leads_nowhere_is_refused_at_deployment() -> None:
    with pytest.raises(InvalidModel, match="element 'x': expected one link catch event named 'far'"):
        engine_with(model(start(), throw("x", LINK), end(), flows("s>x")))

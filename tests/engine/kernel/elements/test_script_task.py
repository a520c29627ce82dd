"""Tests of script task elements."""

import pytest

from tests.engine.kernel.contract import ElementContract, engine_with
from tests.engine.kernel.models import end, flows, model, start, user_task


class TestScriptTask(ElementContract):
    content = (
        start()
        + '<scriptTask id="x" scriptFormat="javascript"><script>var a = 1;</script></scriptTask>'
        + end()
        + flows("s>x>e")
    )


@pytest.mark.parametrize(
    ("attributes", "seen"), [("", "number"), ('flowable:doNotIncludeVariables="true"', "undefined")]
)
def test_a_script_sees_what_is_mapped_in_for_it(attributes: str, seen: str) -> None:
    mapped = '<extensionElements><flowable:in sourceExpression="${a + 1}" target="b"/></extensionElements>'
    script = "<script>[b, typeof a]</script>"
    engine = engine_with(
        model(
            start(),
            f'<scriptTask id="x" scriptFormat="javascript" flowable:resultVariable="r" {attributes}>{mapped}{script}'
            "</scriptTask>",
            user_task("u"),
            flows("s>x>u"),
        )
    )

    tree = engine.start("p", {"a": 1})

    variables = engine.trees[tree.root_id].variables[tree.root_id]
    assert variables["r"].value == [2, seen]
    assert "b" not in variables

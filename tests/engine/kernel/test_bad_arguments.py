"""What a model calls with arguments that do not suit is refused, and never a failure of the engine."""

import pytest

from engine.kernel.errors import Refused
from tests.engine.kernel.contract import engine_with
from tests.engine.kernel.models import end, flows, model, service, start, user_task


@pytest.mark.parametrize(
    "call",
    [
        "execution.setVariable(null, 1)",
        "execution.setVariable(1, 1)",
        "execution.setVariable('', 1)",
        "execution.setVariableLocal([1], 1)",
        "execution.setTransientVariable(null, 1)",
    ],
)
def test_a_variable_has_a_name(call: str) -> None:
    engine = engine_with(model(start(), service("x", f"${{{call}}}"), end(), flows("s>x>e")))

    with pytest.raises(Refused):
        engine.start("p")


def test_a_name_of_more_than_255_characters_is_refused() -> None:
    task = service("x", "${1}", f'flowable:resultVariable="{"n" * 256}"')
    engine = engine_with(model(start(), task, end(), flows("s>x>e")))

    with pytest.raises(Refused, match="expected a variable name of 1 to 255 characters, found 256"):
        engine.start("p")


@pytest.mark.parametrize("call", ["task.setAssignee(5)", "task.setPriority('high')", "task.setName([1])"])
def test_what_a_listener_sets_of_a_task_has_the_right_kind(call: str) -> None:
    listener = f'<flowable:taskListener event="create" expression="${{{call}}}"/>'
    task = user_task("a", f"<extensionElements>{listener}</extensionElements>")
    engine = engine_with(model(start(), task, end(), flows("s>a>e")))

    with pytest.raises(Refused):
        engine.start("p")

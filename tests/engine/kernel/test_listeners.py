"""Execution listeners at elements, flows and the process."""

from tests.engine.kernel.contract import engine_with
from tests.engine.kernel.models import document, flows, process, start, user_task


def heard(word: str, event: str = "") -> str:
    attribute = f'event="{event}"' if event else ""
    call = f"${{execution.setVariable('heard', heard.concat('{word} '))}}"
    return f'<extensionElements><flowable:executionListener {attribute} expression="{call}"/></extensionElements>'


def test_they_run_when_elements_begin_and_end_and_flows_are_taken() -> None:
    take = f'<sequenceFlow id="a-b" sourceRef="a" targetRef="b">{heard("flow")}</sequenceFlow>'
    first = f'<manualTask id="a">{heard("end", "end")}</manualTask>'
    engine = engine_with(
        document(
            process(
                heard("process", "start"), start(), first, take, user_task("b", heard("begin", "start")), flows("s>a")
            )
        )
    )

    tree = engine.start("p", {"heard": ""})

    assert tree.variables[tree.root_id]["heard"].value == "process end flow begin "

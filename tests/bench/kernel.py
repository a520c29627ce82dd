"""The kernel against SpiffWorkflow: five elements with an expression, a condition and a user task, in memory."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from SpiffWorkflow.bpmn import BpmnWorkflow
from SpiffWorkflow.bpmn.parser import BpmnParser
from SpiffWorkflow.util.task import TaskState

from engine.kernel.commands import CompleteTask, StartProcess
from engine.kernel.decide import decide
from engine.kernel.state import COMPLETED, Tree
from engine.kernel.values import variables_of
from tests.bench.measuring import cpu_microseconds, interleaved, ratio_line
from tests.engine.kernel.harness import MemoryEngine

ROUNDS = 7
RUNS = 400
BUDGET = "≥ 8"

_MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" targetNamespace="bench" id="bench">
  <process id="bench" isExecutable="true">
    <startEvent id="start"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="double"/>
    <scriptTask id="double" {script_attributes}><script>{script}</script></scriptTask>
    <sequenceFlow id="f2" sourceRef="double" targetRef="choice"/>
    <exclusiveGateway id="choice" default="f4"/>
    <sequenceFlow id="f3" sourceRef="choice" targetRef="approve">
      <conditionExpression xsi:type="tFormalExpression">{condition}</conditionExpression>
    </sequenceFlow>
    <sequenceFlow id="f4" sourceRef="choice" targetRef="end"/>
    <userTask id="approve" name="Approve"/>
    <sequenceFlow id="f5" sourceRef="approve" targetRef="end"/>
    <endEvent id="end"/>
  </process>
</definitions>"""


def run() -> list[str]:
    """The ratio of CPU time, SpiffWorkflow's over ours, for start and completion of one instance."""
    ours, theirs = _ours(), _theirs()
    ours(), theirs()
    mine, spiff = interleaved(ROUNDS, lambda: cpu_microseconds(ours, RUNS), lambda: cpu_microseconds(theirs, RUNS // 4))
    details = f"Flowloom's kernel {mine.shown('µs')}, SpiffWorkflow {spiff.shown('µs')} for a start and a completion"
    return [ratio_line("kernel against SpiffWorkflow", spiff.median / mine.median, BUDGET, details)]


def _ours() -> Callable[[], None]:
    """Start and completion by `decide` alone: commands in, events out, nothing stored on either side."""
    engine = MemoryEngine()
    (definition,) = engine.deploy(
        _MODEL.format(
            script_attributes='flowable:resultVariable="total"', script="${amount * 2}", condition="${total > 10}"
        )
    )

    def once() -> None:
        env = engine.env()
        tree = Tree(root_id=env.new_id())
        decide(tree, StartProcess(definition_id=definition.id, variables=variables_of({"amount": 20})), env)
        (task_id,) = tree.tasks
        decide(tree, CompleteTask(task_id=task_id), env)
        assert tree.instances[tree.root_id].state == COMPLETED

    return once


def _theirs() -> Callable[[], None]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.bpmn"
        path.write_text(_MODEL.format(script_attributes="", script="total = amount * 2", condition="total > 10"))
        parser = BpmnParser()
        parser.add_bpmn_file(str(path))
        spec = parser.get_spec("bench")

    def once() -> None:
        workflow = BpmnWorkflow(spec)
        workflow.data["amount"] = 20
        workflow.task_tree.data["amount"] = 20
        workflow.do_engine_steps()
        (task,) = workflow.get_tasks(state=TaskState.READY, manual=True)
        task.run()
        workflow.do_engine_steps()
        assert workflow.completed

    return once

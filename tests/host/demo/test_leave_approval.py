"""The parts of the story that need no mesh: the model, the worker, and what happens when no mesh starts."""

from __future__ import annotations

import pytest
from flowloom.engine.v1.job_pb2 import ExternalWorkerJob
from google.protobuf.json_format import ParseDict

from engine.bpmn import xml
from host.demo import leave_approval, worker
from host.demo.leave_approval import ENDED, MODEL
from host.demo.mesh import MeshNotStarted


def test_the_story_passes_every_element_but_those_of_a_refusal() -> None:
    (process,) = [each for each in xml.parse(MODEL.read_bytes(), MODEL.name).children if each.tag == "process"]

    elements = {each.id for each in process.children if each.tag != "sequenceFlow" and each.id}

    assert elements - ENDED == {"tellNo", "leaveRefused"}
    assert elements >= ENDED


def test_the_worker_works_with_the_variables_of_its_job() -> None:
    variables = [{"name": "employee", "value": "Kermit"}, {"name": "days", "type": "integer", "value": 12}]
    job = ParseDict({"id": "j", "variables": variables}, ExternalWorkerJob())

    assert worker.book(job) == leave_approval.RESULTS["booking"]


def test_a_mesh_that_does_not_start_is_told_and_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise MeshNotStarted("flowloom up ended with 1")

    monkeypatch.setattr(leave_approval, "running_mesh", refuse)
    printed: list[str] = []

    assert leave_approval.run_demo(printed.append) is False

    assert printed[-1] == "\nThe demo failed: flowloom up ended with 1"

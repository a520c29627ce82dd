"""The command line against a real mesh, through the edge's port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from host.cli.application import app
from host.demo.mesh import MeshOptions, running_mesh

MODELS: Final = Path(__file__).parents[2] / "conformance" / "corpus" / "models" / "own"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_mesh(tmp_path_factory.mktemp("mesh"), MeshOptions()) as mesh:
        yield mesh.rest.removeprefix("http://")


def flowloom(target: str, *words: str) -> Any:
    return CliRunner().invoke(app, [*words, "--target", target])


def machine(target: str, *words: str) -> Any:
    result = flowloom(target, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.envoy
def test_a_process_goes_from_deployment_to_its_end(target: str) -> None:
    model = str(MODELS / "expense.bpmn20.xml")
    assert "expense version 1" in flowloom(target, "deploy", model).output
    assert [each["key"] for each in machine(target, "definitions")["data"]] == ["expense"]

    words = ("start", "expense", "-v", "amount=250", "-v", "due=null", "--business-key", "b", "--user", "lin")
    instance = machine(target, *words)
    assert instance["state"] == "active"
    assert instance["id"] in flowloom(target, "instances", "--business-key", "b").output

    (task,) = machine(target, "tasks", "--candidate-group", "audit")["data"]
    assert flowloom(target, "claim", task["id"], "ada").output == f"ada has {task['id']}\n"
    refused = flowloom(target, "claim", task["id"], "bob")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: task-")
    assert refused.stderr.count("\n") == 1

    assert flowloom(target, "complete", task["id"]).exit_code == 0
    (task,) = machine(target, "tasks", "--assignee", "grace")["data"]
    assert flowloom(target, "complete", task["id"], "-v", "ok=true").exit_code == 0

    assert machine(target, "instances")["data"] == []
    assert machine(target, "check")["consistent"]


@pytest.mark.envoy
def test_what_the_mesh_refuses_is_one_line(target: str) -> None:
    unknown = flowloom(target, "start", "nothing-of-that-name")
    broken = flowloom(target, "deploy", str(MODELS / "dangling.bpmn20.xml"))

    for result in (unknown, broken):
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
    assert "nobodyIsHere" in broken.stderr

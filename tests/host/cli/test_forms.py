"""`flowloom forms`: each command asks the right RPC with what it was told, and prints the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowloom.forms.v1 import form_pb2
from flowloom.forms.v1 import form_repository_service_pb2 as pb
from google.protobuf.json_format import ParseDict

from mesh.errors import InvalidArgument
from tests.host.cli.scripted_mesh import ScriptedMesh

Run = Callable[..., Any]
DEFINITION = form_pb2.FormDefinition(id="f1", key="leave", version=2, name="Leave")


def test_deploy_sends_the_files_as_one_deployment(flowloom: Run, scripted_mesh: ScriptedMesh, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.form", "b.form")]
    for file in files:
        file.write_text('{"key": "leave"}')
    scripted_mesh.answers["CreateFormDeployment"] = form_pb2.FormDeployment(id="d1")
    scripted_mesh.answers["ListFormDefinitions"] = pb.ListFormDefinitionsResponse(data=[DEFINITION])

    result = flowloom("forms", "deploy", *map(str, files), "--tenant", "acme")

    request = scripted_mesh.asked[0][1]
    assert result.output.split() == ["deployed", "d1", "leave", "version", "2"]
    assert [(each.name, each.data) for each in request.resources] == [
        ("a.form", b'{"key": "leave"}'),
        ("b.form", b'{"key": "leave"}'),
    ]
    assert (request.name, request.tenant_id, bool(request.request_id)) == ("a.form", "acme", True)
    assert scripted_mesh.asked[1][1].deployment_id == "d1"


def test_a_refused_deployment_is_one_line(flowloom: Run, scripted_mesh: ScriptedMesh, tmp_path: Path) -> None:
    file = tmp_path / "a.form"
    file.write_text("{")
    scripted_mesh.answers["CreateFormDeployment"] = InvalidArgument("invalid-form", "expected JSON")

    result = flowloom("forms", "deploy", str(file))

    assert result.exit_code == 1
    assert "invalid-form" in result.stderr
    assert "expected JSON" in result.stderr


def test_a_file_that_is_not_there_is_told(flowloom: Run, scripted_mesh: ScriptedMesh, tmp_path: Path) -> None:
    result = flowloom("forms", "deploy", str(tmp_path / "none.form"))

    assert (result.exit_code, scripted_mesh.asked) == (1, [])
    assert "unreadable-file" in result.stderr


def test_list_shows_the_latest_versions_and_all_if_asked(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ListFormDefinitions"] = pb.ListFormDefinitionsResponse(data=[DEFINITION], total=1)

    shown = flowloom("forms", "list", "--key", "leave")
    document = flowloom("forms", "list", "--all-versions", "--json")

    assert "leave" in shown.output
    assert json.loads(document.output)["data"][0]["id"] == "f1"
    assert [(asked[1].key, asked[1].latest) for asked in scripted_mesh.asked] == [("leave", True), ("", False)]


def test_show_prints_fields_and_outcomes(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    model = {
        "fields": [
            {"id": "reason", "type": "text", "required": True},
            {"id": "box", "type": "container", "fields": {"1": [{"id": "days", "type": "integer"}]}},
        ],
        "outcomes": [{"id": "approve", "name": "Approve"}],
    }
    answer = pb.ResolveFormResponse(definition=DEFINITION)
    ParseDict(model, answer.model)
    scripted_mesh.answers["ResolveForm"] = answer

    result = flowloom("forms", "show", "leave", "--version", "2")
    document = flowloom("forms", "show", "leave", "--json")

    assert result.output.splitlines() == [
        "leave version 2: Leave",
        "  reason (text, required)",
        "  box (container)",
        "    days (integer)",
        "outcomes: approve",
    ]
    assert (scripted_mesh.asked[0][1].form_key, scripted_mesh.asked[0][1].version) == ("leave", 2)
    assert json.loads(document.output)["outcomes"] == model["outcomes"]

"""The description of the REST interface: complete, valid, and as the edge behaves."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import flowloom
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.schemas import openapi_v31_schema_validator

from gateway.effects.openapi import openapi
from gateway.service import GatewayService, GatewaySettings, read_contract
from tests.gateway.sample_service import SERVICE, sample_contract

DESCRIPTORS = Path(flowloom.__path__[0], "descriptors.pb").read_bytes()
OTHERS = "flowloom.saga."


@functools.cache
def document() -> dict[str, Any]:
    """The whole document, as it is served."""
    service = GatewayService(GatewaySettings(), descriptors=DESCRIPTORS)
    return json.loads(json.dumps(service._document()))  # type: ignore[no-any-return]


def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{verb.upper()} {path}": operation
        for path, item in document()["paths"].items()
        for verb, operation in item.items()
    }


def test_the_document_is_openapi() -> None:
    """The schema of OpenAPI 3.1 for the whole; all rules of the specification for a part that is quick to walk."""
    assert list(openapi_v31_schema_validator.iter_errors(document())) == []

    sample = sample_contract()
    OpenAPIV31SpecValidator(openapi(sample.descriptors, sample, [SERVICE], version="1")).validate()


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(document())
    components = document()["components"]

    wanted = set(re.findall(r'"#/components/(\w+)/([^"]+)"', text))

    assert wanted
    assert [name for kind, name in wanted if name not in components[kind]] == []


def test_every_binding_is_described_once() -> None:
    contract = read_contract(DESCRIPTORS)
    bound = [(m, b) for m in contract.methods if not m.service.startswith(OTHERS) for b in m.bindings]
    found = operations()

    assert len(found) == len(bound)
    assert len({operation["operationId"] for operation in found.values()}) == len(found)
    assert {operation["x-grpc-method"] for operation in found.values()} == {method.path for method, _ in bound}


def test_every_variable_of_a_path_is_a_parameter() -> None:
    wrong = [
        name
        for name, operation in operations().items()
        if set(re.findall(r"\{(\w+)\}", name))
        != {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
    ]

    assert wrong == []


def test_an_operation_says_what_it_answers_and_what_it_needs() -> None:
    created = operations()["POST /process-api/runtime/process-instances"]
    login = operations()["POST /identity-api/login"]

    assert set(created["responses"]) == {"201", "400", "401", "403", "default"}
    assert created["x-privilege"].startswith("engine.")
    assert {name for each in created["security"] for name in each} == {"token", "password", "apiToken", "apiKey"}
    assert created["requestBody"]["content"]["application/json"]["schema"]["$ref"].startswith("#/components/schemas/")
    assert created["summary"]
    assert login["security"] == []


def test_arrays_bytes_and_no_content_are_told_apart() -> None:
    sample = sample_contract()
    paths = openapi(sample.descriptors, sample, [SERVICE], version="1")["paths"]

    def answer(path: str, verb: str, status: str) -> dict[str, Any]:
        return paths[path][verb]["responses"][status]  # type: ignore[no-any-return]

    assert answer("/process-api/items/{id}/changes", "get", "200")["content"]["application/json"]["schema"]["type"] == (
        "array"
    )
    assert answer("/process-api/items/{id}/content", "get", "200")["content"]["*/*"]["schema"]["format"] == "binary"
    assert "content" not in answer("/process-api/items/{id}", "delete", "204")
    assert "*/*" in paths["/process-api/uploads"]["post"]["requestBody"]["content"]
    assert paths["/process-api/many-items"]["post"]["requestBody"]["content"]["application/json"]["schema"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/sample.v1.Item"},
    }


def test_comments_and_queries_are_in_it() -> None:
    listed = operations()["GET /process-api/runtime/tasks"]
    names = {parameter["name"]: parameter for parameter in listed["parameters"]}

    assert {"start", "size", "sort", "order", "pageToken", "assignee"} <= names.keys()
    assert {parameter["in"] for parameter in names.values()} == {"query"}
    assert document()["tags"][0]["description"]

"""The REST face is asked with Flowable's paths and bodies, and its errors become refusals."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conformance.driver import Refused, Start, WorkerJob
from tests.conformance.rest_driver import PAGE_SIZE, RestDriver

Respond = Callable[[httpx.Request], httpx.Response]


class Edge:
    """Answers what a test says and remembers the requests."""

    def __init__(self, respond: Respond) -> None:
        self.requests: list[httpx.Request] = []
        self._respond = respond
        self.driver = RestDriver("http://edge", transport=httpx.MockTransport(self._handle))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._respond(request)

    def last(self) -> tuple[str, str, Any]:
        request = self.requests[-1]
        content = request.content
        return request.method, str(request.url).removeprefix("http://edge"), json.loads(content) if content else None


def edge(status: int = 200, body: Any = None) -> Edge:
    return Edge(lambda _: httpx.Response(status, json=body) if body is not None else httpx.Response(status))


async def test_one_model_is_uploaded_as_multipart() -> None:
    mesh = edge(201, {"id": "d1"})

    assert await mesh.driver.deploy({"own/a.bpmn20.xml": b"<a/>"}, "acme") == "d1"

    request = mesh.requests[0]
    assert request.url.path == "/process-api/repository/deployments"
    assert request.url.params["tenantId"] == "acme"
    assert request.headers["content-type"].startswith("multipart/form-data")
    assert b'filename="a.bpmn20.xml"' in request.content
    assert b"<a/>" in request.content


async def test_several_models_go_as_one_archive() -> None:
    mesh = edge(201, {"id": "d1"})

    await mesh.driver.deploy({"own/a.bpmn20.xml": b"<a/>", "own/b.bpmn20.xml": b"<b/>"}, "")

    content = mesh.requests[0].content
    archive = content[content.index(b"PK") : content.rindex(b"\r\n--")]
    assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == ["own/a.bpmn20.xml", "own/b.bpmn20.xml"]


async def test_a_start_leaves_out_what_is_not_given() -> None:
    mesh = edge(201, {"id": "i1"})

    assert await mesh.driver.start(Start(key="K", variables={"a": [1]})) == "i1"

    body = {"processDefinitionKey": "K", "variables": [{"name": "a", "value": [1], "type": "json"}]}
    assert mesh.last() == ("POST", "/process-api/runtime/process-instances", body)


async def test_task_actions_go_to_the_task() -> None:
    mesh = edge()

    await mesh.driver.complete("t/1", {"a": 1}, True, None)
    body: dict[str, Any] = {"action": "complete", "variables": [{"name": "a", "value": 1, "scope": "local"}]}
    assert mesh.last() == ("POST", "/process-api/runtime/tasks/t%2F1", body)

    await mesh.driver.claim("t", "u")
    assert mesh.last() == ("POST", "/process-api/runtime/tasks/t", {"action": "claim", "assignee": "u"})

    await mesh.driver.assign("t", None)
    assert mesh.last() == ("PUT", "/process-api/runtime/tasks/t", {"clear": ["assignee"]})


async def test_lists_are_read_to_their_last_page() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["start"])
        rows = [{"id": str(number)} for number in range(start, min(start + PAGE_SIZE, PAGE_SIZE + 3))]
        return httpx.Response(200, json={"data": rows, "total": PAGE_SIZE + 3})

    mesh = Edge(respond)

    assert len(await mesh.driver.definitions("K")) == PAGE_SIZE + 3
    assert [request.url.params["start"] for request in mesh.requests] == ["0", str(PAGE_SIZE)]


async def test_jobs_are_acquired_and_reported_by_the_workers_paths() -> None:
    mesh = edge(200, [{"id": "j", "lockToken": "l"}])

    assert await mesh.driver.acquire("t") == WorkerJob(id="j", lock_token="l")

    await mesh.driver.fail_job(WorkerJob(id="j", lock_token="l"), "no", 0)
    method, path, body = mesh.last()
    assert (method, path) == ("POST", "/external-job-api/acquire/jobs/j/fail")
    assert (body["errorMessage"], body["retries"], body["lockToken"]) == ("no", 0, "l")


async def test_an_error_body_becomes_a_refusal_with_its_code() -> None:
    mesh = edge(409, {"message": "Conflict", "exception": "claimed by x", "code": "FAILED_PRECONDITION", "reason": "r"})

    with pytest.raises(Refused, match="FAILED_PRECONDITION: claimed by x"):
        await mesh.driver.claim("t", "u")


async def test_an_error_that_is_not_ours_keeps_its_status() -> None:
    mesh = Edge(lambda _: httpx.Response(502, text="bad gateway"))

    with pytest.raises(Refused, match="HTTP 502: bad gateway"):
        await mesh.driver.run_jobs(None)


async def test_what_is_not_found_is_none_and_other_errors_are_not() -> None:
    assert await edge(404, {"code": "NOT_FOUND", "exception": ""}).driver.instance("i") is None
    with pytest.raises(Refused):
        await edge(500, {"code": "INTERNAL", "exception": ""}).driver.instance("i")


async def test_an_edge_that_is_away_is_unavailable() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Refused, match="UNAVAILABLE"):
        await Edge(away).driver.deployments()

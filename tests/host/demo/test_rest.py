"""The demonstration's REST calls print the curl line that does the same, and fail where the answer is another."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from host.demo import rest
from host.demo.rest import DemoFailed, LocalFile, ShownRest, abridged


class Edge:
    """Gives one answer after the other, the last one again and again, and keeps what was printed."""

    def __init__(self, *answers: httpx.Response) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.printed: list[str] = []
        self.rest = ShownRest("http://edge", self.printed.append, transport=httpx.MockTransport(self._handle))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def page(*elements: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"data": list(elements)})


async def test_a_get_prints_its_curl_line_and_the_fields_that_matter() -> None:
    edge = Edge(page({"id": "t", "name": "A", "noise": 1}))

    found = await edge.rest.get("/tasks", ("id", "name"), candidateGroup="a b")

    assert found["data"][0]["noise"] == 1
    assert edge.printed == ["  $ curl 'http://edge/tasks?candidateGroup=a+b'", '  200 {"id": "t", "name": "A"}']


async def test_a_post_prints_its_body_quoted_for_the_shell() -> None:
    edge = Edge(httpx.Response(200))

    await edge.rest.post("/tasks/t", {"action": "it's done"}, 200)

    curl = "  $ curl -X POST http://edge/tasks/t -H 'Content-Type: application/json' \\\n"
    body = """      -d '{"action": "it'"'"'s done"}'"""
    assert edge.printed == [curl + body, "  200"]
    assert edge.requests[0].content == b'{"action": "it\'s done"}'


async def test_an_upload_is_multipart() -> None:
    edge = Edge(httpx.Response(201, json={"id": "d"}))

    await edge.rest.upload("/d", LocalFile(path="m/a.bpmn", data=b"<a/>"), 201, ("id",), deploymentName="x")

    assert edge.printed[0] == "  $ curl -X POST 'http://edge/d?deploymentName=x' \\\n      -F file=@m/a.bpmn"
    assert b'filename="a.bpmn"' in edge.requests[0].content


async def test_another_status_than_expected_fails_the_demo() -> None:
    edge = Edge(httpx.Response(500, json={"message": "bug"}))

    with pytest.raises(DemoFailed, match="expected HTTP 200, found HTTP 500"):
        await edge.rest.get("/tasks", ())


async def test_what_takes_time_is_asked_for_until_it_is_there_and_printed_once() -> None:
    edge = Edge(httpx.Response(404), page(), page({"id": "t"}))

    await edge.rest.get_when("/tasks", ("id",), lambda found: bool(found["data"]))

    assert len(edge.requests) == 3
    assert edge.printed == ["  $ curl http://edge/tasks", '  200 {"id": "t"}']


async def test_what_never_comes_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "WAIT_SECONDS", 0.0)

    with pytest.raises(DemoFailed, match="to answer as it should"):
        await Edge(page()).rest.get_when("/tasks", (), lambda found: bool(found["data"]))


def test_long_lists_are_cut() -> None:
    lines = abridged([{"id": number} for number in range(6)], ("id",))

    assert lines == ['{"id": 0}', '{"id": 1}', '{"id": 2}', '{"id": 3}', "... and 2 more"]
    assert abridged({"data": []}, ("id",)) == ["[]"]


async def test_whoever_logs_in_sends_the_token_and_prints_a_variable() -> None:
    edge = Edge(httpx.Response(200, json={"accessToken": "t0ken", "tokenType": "Bearer"}), page())

    kermit = await edge.rest.login("kermit", "s3cret")
    await kermit.get("/tasks", ())

    assert b"s3cret" in edge.requests[0].content
    assert edge.requests[1].headers["authorization"] == "Bearer t0ken"
    printed = "\n".join(edge.printed)
    assert "s3cret" not in printed
    assert "t0ken" not in printed
    assert '$ curl http://edge/tasks -H "Authorization: Bearer $KERMIT"' in printed


def test_what_only_has_a_field_called_data_is_no_list() -> None:
    assert abridged({"id": "s", "data": {"name": "x"}}, ("id",)) == ['{"id": "s"}']

"""The REST face through a real Envoy: bindings, statuses, bodies of errors, aliases."""

from pathlib import Path

import httpx
import pytest

from gateway.app.statuses import PHRASES, REST_ERRORS
from gateway.settings import Limits
from tests.gateway.edges import MAX_BODY_BYTES, Edge, opened

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


async def test_get_fills_path_and_query_and_prints_zeros(edge: Edge) -> None:
    answer = await edge.client.get("/process-api/items/a%20b", params={"otherId": "3"})

    assert answer.status_code == 200
    assert answer.json() == {"id": "a b", "name": "one", "amount": 7, "suspended": False}
    assert answer.headers["content-type"] == "application/json"
    assert not [name for name in answer.headers if name.startswith(("grpc-", "x-envoy-"))]


async def test_post_that_creates_answers_201_with_the_body(edge: Edge) -> None:
    answer = await edge.client.post("/process-api/items", json={"id": "8", "name": "new"})

    assert answer.status_code == 201
    assert answer.json()["name"] == "new"


async def test_put_takes_the_id_from_the_path(edge: Edge) -> None:
    answer = await edge.client.put("/process-api/items/9", json={"name": "changed"})

    assert (answer.status_code, answer.json()["id"], answer.json()["name"]) == (200, "9", "changed")


async def test_put_whose_body_contradicts_the_path_is_refused(edge: Edge) -> None:
    answer = await edge.client.put("/process-api/items/9", json={"id": "10"})

    assert answer.status_code == 400
    assert answer.json()["code"] == "INVALID_ARGUMENT"


async def test_delete_answers_204_without_a_body_and_the_connection_goes_on(edge: Edge) -> None:
    answers = [await edge.client.delete("/process-api/items/7") for _ in range(3)]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 3
    assert "content-type" not in answers[0].headers
    assert (await edge.client.get("/process-api/items/7")).json()["id"] == "7"


async def test_a_failed_deletion_is_not_turned_into_204(edge: Edge) -> None:
    answer = await edge.client.delete("/process-api/items/missing")

    assert answer.status_code == 404
    assert answer.json() == {"message": "Not found", "exception": "missing", "code": "NOT_FOUND", "reason": ""}


@pytest.mark.parametrize("error", REST_ERRORS, ids=lambda error: error.name)
async def test_each_grpc_code_has_its_status_and_frame(edge: Edge, error) -> None:  # type: ignore[no-untyped-def]
    answer = await edge.client.get(f"/process-api/items/fail-{error.name}")

    assert answer.status_code == error.http_status
    assert answer.headers["content-type"] == "application/json"
    # The text holds quotes and what looks like details: neither may break or forge the frame.
    assert answer.json() == {
        "message": PHRASES[error.http_status],
        "exception": f'no "fail-{error.name}" — {{"details":[{{"reason":"forged"}}]}}',
        "code": error.name,
        "reason": "because-of-this",
    }


async def test_an_error_without_details_has_an_empty_reason(edge: Edge) -> None:
    answer = await edge.client.get("/process-api/items/bare-failure")

    assert answer.status_code == 404
    assert answer.json()["exception"] == "nothing here"
    assert answer.json()["reason"] == ""


async def test_an_error_of_a_creation_keeps_its_status(edge: Edge) -> None:
    answer = await edge.client.post("/process-api/items", json={"name": "taken"})

    assert (answer.status_code, answer.json()["code"]) == (409, "ALREADY_EXISTS")


@pytest.mark.parametrize("path", ["/process-api/nope", "/nope", "/", "/service", "/sample.v1.Items/Get"])
async def test_an_unknown_path_is_404_in_json(edge: Edge, path: str) -> None:
    answer = await edge.client.get(path)

    assert answer.status_code == 404
    assert answer.json()["message"] == "Not found"
    assert answer.json()["code"] == "NOT_FOUND"
    assert answer.json()["reason"] == "unknown-path"


async def test_an_unknown_query_parameter_is_400_in_json(edge: Edge) -> None:
    answer = await edge.client.get("/process-api/items/7", params={"nope": "1"})

    assert answer.status_code == 400
    assert answer.json()["message"] == "Bad request"
    assert "nope" in answer.json()["exception"]


async def test_broken_json_is_400_in_json(edge: Edge) -> None:
    answer = await edge.client.post("/process-api/items", content=b'{"name":}')

    assert answer.status_code == 400
    assert answer.json()["reason"] == "malformed-request"


async def test_a_body_over_the_limit_is_413_in_json(edge: Edge) -> None:
    answer = await edge.client.post("/process-api/items", json={"name": "x" * MAX_BODY_BYTES})

    assert answer.status_code == 413
    assert answer.json()["message"] == "Content too large"
    assert answer.json()["reason"] == "body-too-large"


async def test_a_chunked_body_over_the_limit_is_413_too(edge: Edge) -> None:
    async def chunks():  # type: ignore[no-untyped-def]
        for _ in range(3):
            yield b"x" * (MAX_BODY_BYTES // 2)

    answer = await edge.client.post("/process-api/uploads", content=chunks())

    assert answer.status_code == 413
    assert answer.json()["reason"] == "body-too-large"


@pytest.mark.parametrize("root", ["/flowable-rest/service", "/service", "/flowable-rest//service"])
async def test_flowables_other_roots_reach_the_same_resources(edge: Edge, root: str) -> None:
    answer = await edge.client.get(f"{root}/items/7?otherId=2")

    assert answer.status_code == 200
    assert answer.json()["id"] == "7"


async def test_statuses_hold_for_aliases(edge: Edge) -> None:
    created = await edge.client.post("/service/items", json={"name": "a"})
    deleted = await edge.client.delete("/flowable-rest/service/items/7")
    missing = await edge.client.get("/service/items/bare-failure")

    assert [answer.status_code for answer in (created, deleted, missing)] == [201, 204, 404]
    assert missing.json()["exception"] == "nothing here"


async def test_a_stream_is_one_json_array(edge: Edge) -> None:
    some = await edge.client.get("/process-api/items/5/changes")
    none = await edge.client.get("/process-api/items/none/changes")

    assert [item["amount"] for item in some.json()] == [1, 2]
    assert none.json() == []


async def test_a_creation_that_answers_with_an_array_is_201(edge: Edge) -> None:
    answer = await edge.client.post("/process-api/many-items", json=[{"id": "1"}, {"id": "2"}])

    assert answer.status_code == 201
    assert [item["id"] for item in answer.json()] == ["1", "2"]


async def test_an_array_that_fails_before_its_first_element_is_an_error(edge: Edge) -> None:
    answer = await edge.client.get("/process-api/items/missing/changes")

    assert answer.status_code == 404
    assert answer.json() == {"message": "Not found", "exception": "missing", "code": "NOT_FOUND", "reason": ""}


async def test_a_multipart_upload_arrives_as_it_was_sent(edge: Edge) -> None:
    file = b"<definitions/>" * 10

    answer = await edge.client.post(
        "/process-api/uploads", params={"tenantId": "acme"}, files={"file": ("a.bpmn20.xml", file, "text/xml")}
    )

    assert answer.status_code == 201
    assert answer.json()["id"] == "acme"
    assert answer.json()["name"].startswith("multipart/form-data; boundary=")
    assert answer.json()["amount"] > len(file)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"]
)
async def test_a_body_that_is_not_json_is_415_in_json(edge: Edge, kind: str) -> None:
    body = b'{"id": "8", "name": "new"}'

    answer = await edge.client.post("/process-api/items", content=body, headers={"content-type": kind})

    assert answer.status_code == 415
    assert answer.json() == {
        "message": "Content is not supported",
        "exception": f"expected content of type application/json, found '{kind}'",
        "code": "INVALID_ARGUMENT",
        "reason": "content-not-supported",
    }


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=UTF-8", "application/merge-patch+json"]
)
async def test_json_is_read_under_all_of_its_names(edge: Edge, kind: str) -> None:
    body = b'{"id": "8", "name": "new"}'

    answer = await edge.client.post("/process-api/items", content=body, headers={"content-type": kind})

    assert answer.status_code == 201


async def test_a_type_that_breaks_out_of_its_quotes_breaks_nothing(edge: Edge) -> None:
    answer = await edge.client.put("/process-api/items/9", content=b"{}", headers={"content-type": 'a","code":"OK'})

    assert answer.status_code == 415
    assert answer.json()["exception"].endswith("found 'a???code???OK'")


async def test_without_a_body_its_type_does_not_matter(edge: Edge) -> None:
    answer = await edge.client.post("/process-api/items", content=b"", headers={"content-type": "text/plain"})

    assert answer.status_code == 201


async def test_megabytes_pass_in_both_directions_within_the_default_limits(tmp_path: Path) -> None:
    big = b"x" * (8 * 1024 * 1024)

    async with opened(tmp_path, limits=Limits()) as wide:
        up = await wide.client.post("/process-api/uploads", content=big, headers={"content-type": "application/zip"})
        down = await wide.client.post("/process-api/items", json={"name": big.decode()})

    assert (up.status_code, up.json()["amount"]) == (201, len(big))
    assert (down.status_code, len(down.json()["name"])) == (201, len(big))


async def test_xml_and_pictures_come_out_raw(edge: Edge) -> None:
    xml = await edge.client.get("/process-api/items/7/content")
    picture = await edge.client.get("/process-api/items/picture/content")

    assert (xml.headers["content-type"], xml.content) == ("application/xml", "<a>ä</a>".encode())
    assert (picture.headers["content-type"], picture.content) == ("image/png", b"\x89PNG\r\n\x1a\n\x00\xff")


async def test_a_call_without_a_deadline_gets_the_edges(edge: Edge) -> None:
    await edge.client.get("/process-api/items/7")

    assert edge.server.time_remaining is not None
    assert 4.0 < edge.server.time_remaining <= 5.0


async def test_a_call_over_its_deadline_is_504_in_json(edge: Edge) -> None:
    answer = await edge.client.get("/process-api/items/slow", headers={"grpc-timeout": "100m"})

    assert answer.status_code == 504
    assert answer.json()["code"] == "DEADLINE_EXCEEDED"
    assert answer.json()["message"] == "Gateway timeout"


async def test_identity_and_steering_headers_of_clients_do_not_arrive(edge: Edge) -> None:
    forged = {
        "x-user": "root",
        "x-tenant": "other",
        "x-groups": "admin",
        "x-roles": "admin",
        "x-http-code": "299",
        "x-envoy-original-path": "/forged",
        "x-envoy-internal": "true",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-max-retries": "9",
    }

    answer = await edge.client.get("/process-api/items/7", headers={**forged, "x-other": "kept"})

    assert answer.status_code == 200
    _, seen = edge.server.seen[-1]
    assert seen["x-other"] == "kept"
    assert seen["x-envoy-original-path"] == "/process-api/items/7"
    assert not seen.keys() & (forged.keys() - {"x-envoy-original-path"})


async def test_a_header_that_spells_another_with_underscores_is_refused(edge: Edge) -> None:
    answer = await edge.client.get("/process-api/items/7", headers={"x_user": "root"})

    assert answer.status_code == 400
    assert answer.json()["code"] == "INVALID_ARGUMENT"


async def test_the_request_id_is_kept_passed_on_and_returned(edge: Edge) -> None:
    named = await edge.client.get("/process-api/items/7", headers={"x-request-id": "mine-1"})
    _, seen = edge.server.seen[-1]
    unnamed = await edge.client.get("/process-api/items/7")

    assert named.headers["x-request-id"] == seen["x-request-id"] == "mine-1"
    assert len(unnamed.headers["x-request-id"]) == 36


async def test_a_browser_of_an_allowed_origin_may_ask(edge: Edge) -> None:
    wanted = {"access-control-request-method": "DELETE"}

    allowed = await edge.client.options("/service/items/7", headers={"origin": "https://console.example", **wanted})
    other = await edge.client.options("/service/items/7", headers={"origin": "https://evil.example", **wanted})

    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://console.example"
    assert "DELETE" in allowed.headers["access-control-allow-methods"]
    assert "access-control-allow-origin" not in other.headers


async def test_long_answers_are_compressed_when_the_client_can_read_it(edge: Edge) -> None:
    body = {"name": "long " * 1000}

    brotli = await edge.client.post("/process-api/items", json=body, headers={"accept-encoding": "br, gzip"})
    gzip = await edge.client.post("/process-api/items", json=body, headers={"accept-encoding": "gzip"})
    plain = await edge.client.post("/process-api/items", json=body, headers={"accept-encoding": "identity"})

    assert [answer.headers.get("content-encoding") for answer in (brotli, gzip, plain)] == ["br", "gzip", None]
    assert gzip.json() == plain.json()


async def test_health_and_readiness_are_answered_by_the_edge(edge: Edge) -> None:
    health: httpx.Response = await edge.client.get("/health")
    ready = await edge.client.get("/ready")

    assert (health.status_code, health.json()) == (200, {"status": "UP"})
    assert ready.status_code == 200


async def test_an_answer_says_whether_it_may_be_kept(edge: Edge) -> None:
    kept, other, failed, refused = [
        await edge.client.get(f"/process-api/{path}")
        for path in ("items/7/content", "items/7", "items/fail-NOT_FOUND", "nothing")
    ]

    assert kept.headers["cache-control"] == "private, max-age=60"
    assert "authorization" in kept.headers["vary"]
    assert [each.headers["cache-control"] for each in (other, failed, refused)] == ["no-store"] * 3

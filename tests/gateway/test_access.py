"""Who is let through the edge, and as whom."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import jwt
import pytest
import pytest_asyncio

from gateway.model.policies import Access, Keys
from gateway.rpc.envoy_messages import EnvoyMessages
from mesh.errors import FailedPrecondition, ResourceExhausted, Unavailable
from tests.gateway.edges import status_of_get, until
from tests.gateway.guarded import API_TOKEN, OUTSIDE_ISSUER, GuardedEdge, SigningKey, basic, bearer, guarded, jwks
from tests.gateway.sample_service import SERVICE
from tests.gateway.test_envoy_process import Load

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

ITEM = "/process-api/items/7"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedEdge]:
    async with guarded(tmp_path_factory.mktemp("guarded")) as shared:
        yield shared


async def get(edge: GuardedEdge, headers: dict[str, str], path: str = ITEM) -> httpx.Response:
    return await edge.client.get(path, headers=headers)


async def test_a_token_opens_the_edge_and_names_the_user(edge: GuardedEdge) -> None:
    token = edge.key.token("kermit")

    answer = await get(edge, {**bearer(token), "x-user": "gonzo", "x-tenant": "other"})

    assert answer.status_code == 200
    seen = edge.seen()
    assert (seen["x-user"], seen["x-tenant"], seen["authorization"]) == ("kermit", "acme", f"Bearer {token}")


async def test_who_has_no_tenant_cannot_bring_one(edge: GuardedEdge) -> None:
    answer = await get(edge, {**bearer(edge.key.token("kermit", tenant=None)), "x-tenant": "acme"})

    assert answer.status_code == 200
    assert "x-tenant" not in edge.seen()


async def test_without_credentials_nothing_is_reached(edge: GuardedEdge) -> None:
    before = len(edge.server.seen)

    answer = await get(edge, {})

    assert answer.status_code == 401
    assert answer.json()["code"] == "UNAUTHENTICATED"
    assert answer.json()["reason"] == "not-authenticated"
    assert [found.split()[0] for found in answer.headers.get_list("www-authenticate")] == ["Bearer", "Basic"]
    assert len(edge.server.seen) == before


async def test_who_came_with_a_token_is_not_asked_for_a_password(edge: GuardedEdge) -> None:
    answer = await get(edge, bearer("no.good.token"))

    assert answer.status_code == 401
    assert [found.split()[0] for found in answer.headers.get_list("www-authenticate")] == ["Bearer"]


@pytest.mark.parametrize(
    "change",
    [
        {"exp": 1_600_000_000},
        {"iss": "flowloom-service"},
        {"aud": "elsewhere"},
    ],
)
async def test_a_token_that_is_not_for_us_is_refused(edge: GuardedEdge, change: dict[str, object]) -> None:
    answer = await get(edge, bearer(edge.key.token("kermit", **change)))

    assert answer.status_code in {401, 403}
    assert answer.json()["code"] in {"UNAUTHENTICATED", "PERMISSION_DENIED"}


async def test_forged_tokens_are_refused(edge: GuardedEdge) -> None:
    stranger = SigningKey("first")
    unsigned = jwt.encode({"iss": "flowloom", "aud": "flowloom", "sub": "kermit", "exp": 4e9}, "", algorithm="none")
    shared = jwt.encode(
        {"iss": "flowloom", "aud": "flowloom", "sub": "kermit", "exp": 4e9}, "k" * 32, headers={"kid": "first"}
    )

    answers = [await get(edge, bearer(token)) for token in (stranger.token(), unsigned, shared, "x", "a.b.c")]

    assert [answer.status_code for answer in answers] == [401] * 5


async def test_a_token_in_the_query_does_not_count(edge: GuardedEdge) -> None:
    answer = await get(edge, {}, f"{ITEM}?access_token={edge.key.token()}")

    assert answer.status_code in {400, 401}


@pytest.mark.parametrize(
    "headers", [basic("kermit", "green"), bearer(API_TOKEN), {"x-api-key": API_TOKEN}], ids=["basic", "token", "key"]
)
async def test_other_credentials_are_exchanged_once(edge: GuardedEdge, headers: dict[str, str]) -> None:
    first = await get(edge, headers)
    asked = len(edge.identity.asked)

    second = await get(edge, headers)

    assert (first.status_code, second.status_code) == (200, 200)
    assert len(edge.identity.asked) == asked
    seen = edge.seen()
    assert seen["x-user"] == "kermit"
    assert jwt.decode(seen["authorization"].removeprefix("Bearer "), options={"verify_signature": False})["sub"]
    assert "x-api-key" not in seen


async def test_wrong_passwords_are_refused_without_saying_more(edge: GuardedEdge) -> None:
    answers = [
        await get(edge, basic("kermit", "blue")),
        await get(edge, bearer("flt_wrong")),
        await get(edge, {"authorization": "Basic ?"}),
        await get(edge, {"x-api-key": "wrong"}),
    ]

    assert [answer.status_code for answer in answers] == [401] * 4
    assert answers[0].json()["code"] == "UNAUTHENTICATED"
    assert answers[0].headers["www-authenticate"].startswith("Basic")


async def test_native_callers_are_told_in_their_own_words(edge: GuardedEdge) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{edge.port}") as channel:
        call = channel.unary_unary(f"/{SERVICE}/Get")
        with pytest.raises(grpc.aio.AioRpcError) as nobody:
            await call(b"")
        with pytest.raises(grpc.aio.AioRpcError) as wrong:
            await call(b"", metadata=tuple(basic("kermit", "blue").items()))
        known = await call(b"", metadata=tuple(basic("kermit", "green").items()))

    assert nobody.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert wrong.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert known


async def test_public_methods_health_and_reflection_need_nothing(edge: GuardedEdge) -> None:
    asked = len(edge.identity.asked)

    login = await edge.client.post("/process-api/login", json={"id": "kermit"})
    with_old_token = await edge.client.post("/process-api/login", json={}, headers=bearer("not.a.token"))
    with_wrong_password = await edge.client.post("/process-api/login", json={}, headers=basic("kermit", "blue"))
    health = [await status_of_get(edge.client, path) for path in ("/health", "/ready", "/process-api/keys")]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{edge.port}") as channel:
        native = await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")

    assert [each.status_code for each in (login, with_old_token, with_wrong_password)] == [200] * 3
    assert health == [200, 200, 200]
    assert native is not None
    assert len(edge.identity.asked) == asked


async def test_an_unknown_path_is_still_unknown(edge: GuardedEdge) -> None:
    assert await status_of_get(edge.client, "/process-api/nothing") == 404
    assert (await edge.client.post("/unknown.v1.Service/Get", headers={"content-type": "application/grpc"})).headers[
        "grpc-status"
    ] == "16"


async def test_a_tired_identity_is_too_many_requests(edge: GuardedEdge) -> None:
    edge.identity.failure = ResourceExhausted("too-many-tries", "expected fewer tries")
    try:
        answer = await get(edge, basic("kermit", "again"))
    finally:
        edge.identity.failure = None

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["code"] == "RESOURCE_EXHAUSTED"


async def test_a_one_time_password_does_not_open_the_edge(edge: GuardedEdge) -> None:
    edge.identity.failure = FailedPrecondition("password-change-required", "expected another password")
    try:
        answer = await get(edge, basic("piggy", "once"))
    finally:
        edge.identity.failure = None

    assert answer.status_code == 403


async def test_an_identity_that_is_away_is_503_for_the_unknown_and_nothing_for_the_known(edge: GuardedEdge) -> None:
    await get(edge, basic("kermit", "green"))
    edge.identity.failure = Unavailable("away", "expected identity")
    try:
        unknown, known = await get(edge, basic("kermit", "new")), await get(edge, basic("kermit", "green"))
        token = await get(edge, bearer(edge.key.token()))
    finally:
        edge.identity.failure = None

    assert (unknown.status_code, known.status_code, token.status_code) == (503, 200, 200)
    assert unknown.json()["code"] == "UNAVAILABLE"


async def test_the_access_log_names_the_principal_and_no_secret(edge: GuardedEdge) -> None:
    await edge.client.get(ITEM, headers={**basic("kermit", "green"), "x-request-id": "principal-1"})

    async def logged() -> bool:
        return "principal-1" in (edge.envoy.config_dir / "access.log").read_text()

    await until(logged, 30.0)
    log = (edge.envoy.config_dir / "access.log").read_text()
    (line,) = [line for line in log.splitlines() if "principal-1" in line]
    assert '"user":"kermit"' in line
    assert '"tenant":"acme"' in line
    assert "Basic" not in log


async def test_keys_are_exchanged_under_load_without_a_refused_request(edge: GuardedEdge) -> None:
    first, second = edge.key, SigningKey("second")
    async with Load(edge.port, headers=lambda: bearer(edge.identity.key.token())) as load:
        await load.more(20)
        edge.server.keys = jwks(first, second)
        await until(lambda: _opens(edge, second))
        edge.identity.key = second
        await load.more(40)
        edge.server.keys = jwks(second)
        await until(lambda: _closed(edge, first))
        await load.more(20)

    assert load.failures == []
    assert await _closed(edge, first)


async def test_a_gateway_that_is_away_closes_the_exchange_only(edge: GuardedEdge) -> None:
    await edge.gateway.stop()
    try:
        answer, token = await get(edge, basic("kermit", "green")), await get(edge, bearer(edge.key.token()))

        assert (answer.status_code, token.status_code) == (503, 200)
        assert answer.json()["code"] == "UNAVAILABLE"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{edge.port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as native:
                await channel.unary_unary(f"/{SERVICE}/Get")(b"", metadata=tuple(basic("kermit", "green").items()))
        assert native.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await edge.gateway.start()


async def test_tokens_of_an_outside_issuer_are_exchanged_where_that_is_wanted(tmp_path: Path) -> None:
    outside = SigningKey("theirs")
    access = Access(
        keys=Keys(cluster="items", service=SERVICE, path="/process-api/keys"),
        exchange_cluster="gateway",
        outside_tokens=True,
    )
    async with guarded(tmp_path, access=access) as edge:
        answers = {
            "piggy": await get(edge, bearer(outside.token("piggy", iss=OUTSIDE_ISSUER))),
            "unknown": await get(edge, bearer(outside.token("gonzo", iss=OUTSIDE_ISSUER))),
            "other": await get(edge, bearer(outside.token("piggy", iss="https://nobody.example"))),
            "forged": await get(edge, bearer(SigningKey("first").token("piggy"))),
            "nonsense": await get(edge, bearer("nonsense")),
            "nobody": await get(edge, {}),
            "public": await edge.client.post("/process-api/login", json={}, headers=bearer("x.y.z")),
        }
        users = [metadata.get("x-user") for rpc, metadata in edge.server.seen if rpc == "Get"]
        asked = len(edge.identity.asked)
        ours = await get(edge, bearer(edge.key.token("kermit")))

        assert {name: answer.status_code for name, answer in answers.items()} == {
            "piggy": 200,
            "unknown": 403,
            "other": 401,
            "forged": 401,
            "nonsense": 401,
            "nobody": 401,
            "public": 200,
        }
        assert users[-1] == "piggy"
        assert ours.status_code == 200
        assert len(edge.identity.asked) == asked


async def test_our_reading_of_envoys_messages_agrees_with_envoys() -> None:
    from envoy_data_plane.envoy.service.auth import v3 as auth
    from envoy_data_plane.envoy.service.ratelimit import v3 as ratelimit

    ours = EnvoyMessages()
    check = auth.CheckRequest.from_dict(
        {
            "attributes": {
                "source": {"address": {"socketAddress": {"address": "192.0.2.7", "portValue": 1}}},
                "request": {"http": {"headers": {"authorization": "Basic x"}, "path": "/a.B/C"}},
            }
        }
    )
    read = ours.check_request.FromString(bytes(check)).attributes
    assert read.source.address.socket_address.address == "192.0.2.7"
    assert [(each.key, each.value) for each in read.request.http.headers] == [("authorization", "Basic x")]
    assert read.request.http.path == "/a.B/C"

    allowed = ours.check_response()
    option = allowed.ok_response.headers.add(append_action=2)
    option.header.key, option.header.value = "authorization", "Bearer y"
    allowed.ok_response.headers_to_remove.append("x-api-key")
    assert auth.CheckResponse.parse(allowed.SerializeToString()).to_dict() == {
        "okResponse": {
            "headers": [
                {
                    "header": {"key": "authorization", "value": "Bearer y"},
                    "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD",
                }
            ],
            "headersToRemove": ["x-api-key"],
        }
    }
    denied = ours.check_response()
    denied.status.code, denied.denied_response.status.code, denied.denied_response.body = 16, 401, "no"
    assert auth.CheckResponse.parse(denied.SerializeToString()).to_dict() == {
        "status": {"code": 16},
        "deniedResponse": {"status": {"code": "Unauthorized"}, "body": "no"},
    }

    asked = ratelimit.RateLimitRequest.from_dict(
        {"domain": "flowloom", "descriptors": [{"entries": [{"key": "user", "value": "kermit"}]}], "hitsAddend": 2}
    )
    limited = ours.rate_limit_request.FromString(bytes(asked))
    assert (limited.domain, limited.hits_addend, limited.descriptors[0].entries[0].value) == ("flowloom", 2, "kermit")

    answer = ours.rate_limit_response(overall_code=2)
    status = answer.statuses.add(code=2, limit_remaining=3)
    status.current_limit.requests_per_unit, status.current_limit.unit, status.current_limit.name = 5, 2, "user"
    status.duration_until_reset.seconds = 9
    answer.response_headers_to_add.add(key="retry-after", value="9")
    assert ratelimit.RateLimitResponse.parse(answer.SerializeToString()).to_dict() == {
        "overallCode": "OVER_LIMIT",
        "statuses": [
            {
                "code": "OVER_LIMIT",
                "currentLimit": {"requestsPerUnit": 5, "unit": "MINUTE", "name": "user"},
                "limitRemaining": 3,
                "durationUntilReset": "9s",
            }
        ],
        "responseHeadersToAdd": [{"key": "retry-after", "value": "9"}],
    }


async def _opens(edge: GuardedEdge, key: SigningKey) -> bool:
    return (await get(edge, bearer(key.token()))).status_code == 200


async def _closed(edge: GuardedEdge, key: SigningKey) -> bool:
    return (await get(edge, bearer(key.token()))).status_code == 401

"""The real identity, engine and Envoy together: a login over REST, and every kind of credentials, right and wrong."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import jwt
import pytest

from tests.gateway.guarded import SigningKey, basic, bearer
from tests.mesh_process import RunningMesh, running_mesh

pytestmark = pytest.mark.envoy

PASSWORD = "a-password-of-the-test"
TASKS = "/process-api/runtime/tasks"


@pytest.fixture(scope="module")
def mesh() -> Iterator[RunningMesh]:
    environment = {
        "FLOWLOOM_ACCESS_MODE": "enforced",
        "FLOWLOOM_IDENTITY_ADMIN_PASSWORD": PASSWORD,
        # The tests log in with wrong passwords on purpose.
        "FLOWLOOM_IDENTITY_THROTTLE_ADDRESS_FREE": "1000",
        "FLOWLOOM_IDENTITY_THROTTLE_USER_FREE": "1000",
    }
    with running_mesh(edge=True, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def client(mesh: RunningMesh) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=mesh.rest, timeout=30.0, trust_env=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def login(client: httpx.Client) -> dict[str, Any]:
    answer = client.post("/identity-api/login", json={"userId": "admin", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_login_gives_a_token_that_opens_the_engine(client: httpx.Client, login: dict[str, Any]) -> None:
    answer = client.get(TASKS, headers=bearer(login["accessToken"]))

    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == []
    assert answer.headers["cache-control"] == "no-store"


def test_a_refreshed_token_does_too(client: httpx.Client, login: dict[str, Any]) -> None:
    renewed = client.post("/identity-api/refresh", json={"refreshToken": login["refreshToken"], "requestId": "r1"})

    assert renewed.status_code == 200, renewed.text
    assert client.get(TASKS, headers=bearer(renewed.json()["accessToken"])).status_code == 200


def test_a_password_does_at_every_request(client: httpx.Client) -> None:
    answers = [client.get(TASKS, headers=basic("admin", PASSWORD)) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3, answers[0].text


def test_an_api_token_does_until_it_is_revoked(client: httpx.Client, login: dict[str, Any]) -> None:
    made = client.post(
        "/identity-api/api-tokens",
        json={"name": "test", "requestId": "one-token"},
        headers=bearer(login["accessToken"]),
    )
    assert made.status_code == 201, made.text
    secret, token_id = made.json()["secret"], made.json()["apiToken"]["id"]

    as_bearer = client.get(TASKS, headers=bearer(secret))
    as_key = client.get(TASKS, headers={"x-api-key": secret})
    gone = client.delete(f"/identity-api/api-tokens/{token_id}", headers=bearer(login["accessToken"]))

    assert (as_bearer.status_code, as_key.status_code, gone.status_code) == (200, 200, 204)


def test_native_grpc_opens_with_the_same(mesh: RunningMesh, login: dict[str, Any]) -> None:
    target = mesh.rest.removeprefix("http://")
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/flowloom.engine.v1.TaskService/ListTasks")
        with pytest.raises(grpc.RpcError) as nobody:
            call(b"", timeout=30)
        assert call(b"", metadata=tuple(bearer(login["accessToken"]).items()), timeout=30) is not None
        assert call(b"", metadata=tuple(basic("admin", PASSWORD).items()), timeout=30) is not None

    assert nobody.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_what_is_wrong_does_not_open_it(client: httpx.Client, login: dict[str, Any]) -> None:
    claims = jwt.decode(login["accessToken"], options={"verify_signature": False})
    key_id = jwt.get_unverified_header(login["accessToken"])["kid"]
    forged = SigningKey(key_id).token("admin", jti=claims["jti"], tenant=None)
    expired = SigningKey(key_id).token("admin", exp=1_600_000_000)
    header, payload, signature = login["accessToken"].split(".")
    changed = f"{header}.{payload[:-2]}AA.{signature}"

    answers = {
        name: client.get(TASKS, headers=headers)
        for name, headers in {
            "nobody": {},
            "forged": bearer(forged),
            "expired": bearer(expired),
            "changed": bearer(changed),
            "password": basic("admin", "wrong"),
            "user": basic("nobody", PASSWORD),
            "api token": bearer("flt_nothing"),
            "headers": {"x-user": "admin", "x-groups": "admin"},
        }.items()
    }

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 401)
    assert {answer.json()["code"] for answer in answers.values()} == {"UNAUTHENTICATED"}


def test_what_is_public_needs_nothing(client: httpx.Client) -> None:
    paths = ("/health", "/ready", "/.well-known/jwks.json", "/docs", "/docs/parts/page.js", "/docs/openapi.json")

    answers = {path: client.get(path) for path in paths}

    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(paths, 200)
    assert "no-store" not in answers["/.well-known/jwks.json"].headers["cache-control"]
    assert answers["/docs"].headers["content-type"].startswith("text/html")
    assert answers["/docs/openapi.json"].headers["cache-control"] == "public, max-age=300"
    document = json.loads(answers["/docs/openapi.json"].content)
    assert document["openapi"] == "3.1.0"
    assert TASKS in document["paths"]
    assert client.get("/docs/parts/other.js").status_code == 404

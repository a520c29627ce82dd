"""Flowable's REST for identity, through a real Envoy: paths, statuses, bodies as its clients know them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio

from gateway.effects.envoy_process import EnvoyProcess
from gateway.model.snapshot import Cluster, Endpoint, Listener, Snapshot
from gateway.service import read_contract
from identity.service import SERVICES, IdentityService, IdentitySettings
from identity.settings import IdentityDatabase
from mesh.server import MeshServer, ServerSettings
from mesh.testing.ports import free_port
from tests.contract.described import DESCRIPTORS
from tests.gateway.edges import client_of, status_of_get, until
from tests.identity.test_profiles import PNG
from tests.identity.worlds import ADMIN_PASSWORD, CHEAP, PASSWORD, ToldAccess

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

USERS = "/process-api/identity/users"
GROUPS = "/process-api/identity/groups"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """An identity behind an edge."""

    client: httpx.AsyncClient

    async def __call__(self, verb: str, path: str, **more: Any) -> tuple[int, Any]:
        answer = await self.client.request(verb, path, **more)
        return answer.status_code, answer.json() if answer.content else None

    async def user(self, user_id: str, **fields: Any) -> None:
        status, _ = await self("POST", USERS, json={"id": user_id, "password": PASSWORD, **fields})
        assert status == 201


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def rest(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rest]:
    folder = tmp_path_factory.mktemp("rest")
    database = IdentityDatabase(url=f"sqlite:///{folder / 'identity.db'}")
    service = IdentityService(IdentitySettings(database=database, passwords=CHEAP, admin_password=ADMIN_PASSWORD))
    await service.start()
    server = MeshServer(ServerSettings(lame_duck_seconds=0.0), access=ToldAccess())
    service.add_to(server.registrar)
    server.readiness.add_probe("identity", service.probe)
    _, _, backend = (await server.start()).rpartition(":")
    port = free_port()
    cluster = Cluster(name="identity", endpoints=(Endpoint(address="127.0.0.1", port=int(backend)),))
    envoy = EnvoyProcess(
        folder / "edge",
        Snapshot(
            contract=read_contract(DESCRIPTORS.read_bytes()),
            listener=Listener(port=port),
            clusters=(cluster,),
            services=dict.fromkeys(SERVICES, "identity"),
        ),
    )
    try:
        await envoy.start()
        async with client_of(port) as client:
            await until(lambda: _answers(client))
            yield Rest(client=client)
    finally:
        await envoy.drain_and_stop()
        await server.drain()
        await service.stop()


async def _answers(client: httpx.AsyncClient) -> bool:
    """Whether the edge has found identity healthy."""
    return await status_of_get(client, "/identity-api/jwks") == 200


async def test_users_have_flowables_statuses_and_fields(rest: Rest) -> None:
    body = {"id": "kermit", "firstName": "Kermit", "lastName": "Frog", "email": "k@example.org", "password": PASSWORD}
    shown = {name: value for name, value in body.items() if name != "password"}

    made = await rest("POST", USERS, json=body)
    again = await rest("POST", "/idm-api/users", json=body)
    changed = await rest("PUT", f"{USERS}/kermit", json={"id": "kermit", "firstName": "K."})
    listed = await rest("GET", "/idm-api/users", params={"firstNameLike": "K%", "sort": "lastName", "order": "desc"})

    others = {"tenantId": "", "disabled": False, "issuer": "", "mustChangePassword": False}
    assert made == (201, shown | others)
    assert (again[0], again[1]["reason"]) == (409, "user-exists")
    assert changed == (200, shown | others | {"firstName": "K."})
    assert listed == (
        200,
        {"data": [changed[1]], "total": 1, "start": 0, "sort": "lastName", "order": "desc", "size": 1},
    )
    assert await rest("DELETE", f"{USERS}/kermit") == (204, None)
    assert (await rest("GET", "/idm-api/users/kermit"))[0] == 404
    assert (await rest("DELETE", "/idm-api/users/kermit"))[0] == 404
    assert (await rest("POST", USERS, json={"firstName": "nobody"}))[0] == 400


async def test_a_picture_is_uploaded_as_a_form_and_comes_back_as_bytes(rest: Rest) -> None:
    await rest.user("gonzo")
    assert (await rest("GET", f"{USERS}/gonzo/picture"))[0] == 404

    uploaded = await rest("PUT", f"{USERS}/gonzo/picture", files={"file": ("me.png", PNG, "image/png")})
    found = await rest.client.get(f"{USERS}/gonzo/picture")
    raw = await rest("PUT", f"{USERS}/gonzo/picture", content=PNG * 2, headers={"content-type": "image/gif"})
    raw_found = await rest.client.get(f"{USERS}/gonzo/picture")

    assert uploaded == raw == (204, None)
    assert (found.headers["content-type"], found.content) == ("image/png", PNG)
    assert (raw_found.headers["content-type"], raw_found.content) == ("image/gif", PNG * 2)
    assert (await rest("GET", f"{USERS}/gonzo"))[1]["pictureUrl"] == f"{USERS}/gonzo/picture"


async def test_info_is_a_bare_array(rest: Rest) -> None:
    await rest.user("piggy")
    info = f"{USERS}/piggy/info"

    assert await rest("GET", info) == (200, [])
    assert await rest("POST", info, json={"key": "a", "value": "1"}) == (201, {"key": "a", "value": "1"})
    assert (await rest("POST", info, json={"key": "a", "value": "1"}))[0] == 409
    assert await rest("PUT", f"{info}/a", json={"value": "2"}) == (200, {"key": "a", "value": "2"})
    assert await rest("GET", info) == (200, [{"key": "a", "value": "2"}])
    assert await rest("DELETE", f"{info}/a") == (204, None)
    assert (await rest("GET", f"{info}/a"))[0] == 404


async def test_groups_and_their_members(rest: Rest) -> None:
    await rest.user("fozzie")
    made = await rest("POST", GROUPS, json={"id": "muppets", "name": "Muppets", "type": "assignment"})
    joined = await rest("POST", f"{GROUPS}/muppets/members", json={"userId": "fozzie"})

    assert made == (201, {"id": "muppets", "name": "Muppets", "type": "assignment", "tenantId": ""})
    assert joined == (201, {"userId": "fozzie", "groupId": "muppets"})
    assert (await rest("POST", "/idm-api/groups/muppets/members", json={"userId": "fozzie"}))[0] == 409
    members = await rest("GET", USERS, params={"memberOfGroup": "muppets"})
    groups = await rest("GET", GROUPS, params={"member": "fozzie"})
    assert [each["id"] for each in members[1]["data"]] == ["fozzie"]
    assert [each["id"] for each in groups[1]["data"]] == ["muppets"]
    assert await rest("DELETE", f"{GROUPS}/muppets/members/fozzie") == (204, None)
    assert (await rest("DELETE", f"{GROUPS}/muppets/members/fozzie"))[0] == 404
    assert await rest("DELETE", "/idm-api/groups/muppets") == (204, None)


async def test_privileges_are_given_as_in_idm_api(rest: Rest) -> None:
    await rest.user("rowlf")
    await rest("POST", GROUPS, json={"id": "band"})
    _, privilege = await rest("POST", "/idm-api/privileges", json={"name": "access-rest-api"})
    path = f"/idm-api/privileges/{privilege['id']}"

    assert await rest("POST", f"{path}/users", json={"userId": "rowlf"}) == (200, {})
    assert await rest("POST", f"{path}/groups", json={"groupId": "band"}) == (200, {})
    _, read = await rest("GET", path)
    _, users = await rest("GET", f"{path}/users")
    _, groups = await rest("GET", f"{path}/groups")

    assert (read["name"], read["users"], read["groups"]) == ("access-rest-api", users, groups)
    assert ([each["id"] for each in users], [each["id"] for each in groups]) == (["rowlf"], ["band"])
    assert await rest("DELETE", f"{path}/users/rowlf") == (204, None)
    assert await rest("DELETE", f"{path}/group/band") == (204, None), "Flowable's spelling"
    assert await rest("GET", f"{path}/users") == (200, [])
    assert (await rest("GET", "/idm-api/privileges", params={"name": "access-rest-api"}))[1]["total"] == 1
    assert (await rest("GET", "/idm-api/idm-management/engine"))[1]["name"] == "flowloom-identity"


async def test_a_session_from_login_to_logout(rest: Rest) -> None:
    await rest.user("scooter")
    status, opened = await rest("POST", "/identity-api/login", json={"userId": "scooter", "password": PASSWORD})
    keys = (await rest("GET", "/.well-known/jwks.json"))[1]
    signing = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(opened["accessToken"])["kid"]]
    claims = jwt.decode(opened["accessToken"], signing, algorithms=["ES256"], audience="flowloom", issuer="flowloom")
    token = {"refreshToken": opened["refreshToken"]}

    assert (status, opened["tokenType"], opened["expiresIn"]) == (200, "Bearer", 300)
    assert claims["sub"] == "scooter"
    status, renewed = await rest("POST", "/identity-api/refresh", json=token)
    assert (status, renewed["userId"]) == (200, "scooter")
    assert (await rest("POST", "/identity-api/refresh", json=token))[0] == 401
    assert await rest("POST", "/identity-api/logout", json={"refreshToken": renewed["refreshToken"]}) == (204, None)


async def test_keys_may_be_kept_and_nothing_else_may(rest: Rest) -> None:
    keys = await rest.client.get("/identity-api/jwks")
    users = await rest.client.get(USERS)

    assert keys.headers["cache-control"] == "public, max-age=300"
    assert users.headers["cache-control"] == "no-store"


async def test_too_many_wrong_passwords_are_told_how_long_to_wait(rest: Rest) -> None:
    wrong = {"userId": "statler", "password": "wrong"}
    statuses = [(await rest("POST", "/identity-api/login", json=wrong))[0] for _ in range(5)]

    too_soon = await rest.client.post("/identity-api/login", json=wrong)

    assert statuses == [401] * 5
    assert (too_soon.status_code, too_soon.json()["reason"]) == (429, "too-many-attempts")
    assert too_soon.headers["retry-after"] == "1"

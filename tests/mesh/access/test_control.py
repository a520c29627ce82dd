"""Calls through a guarded server, over a socket and in process: who gets in, and what the others are told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import grpc
import msgspec
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from mesh.access import current_principal
from mesh.access.calling import Credentials
from mesh.access.contract import AccessRules, Rule, privilege_patterns
from mesh.access.service_tokens import ServiceTokens
from mesh.channels import Channels
from mesh.clock import SystemClock
from mesh.rpc_errors import refusal_in
from mesh.server import MeshServer, ServerSettings
from mesh.testing.access import AUDIENCE, SERVICE_KEY, IdentityForTests
from tests.mesh.echo import SERVICE, Echo, EchoStub, add_echo_to_server, text

READ = "echo.text.read"
NOW = SystemClock().now


def rules() -> AccessRules:
    def rule(name: str, privilege: str) -> Rule:
        return Rule(method=name, privilege=privilege, granted_by=privilege_patterns(privilege))

    return AccessRules(
        {
            f"/{SERVICE}/OneToOne": rule("OneToOne", READ),
            f"/{SERVICE}/OneToMany": rule("OneToMany", READ),
            f"/{SERVICE}/ManyToOne": Rule(method="ManyToOne", public=True),
            f"/{SERVICE}/ManyToMany": rule("ManyToMany", "echo.text.write"),
        }
    )


class Asked(Echo):
    """Tells who asks."""

    async def one_to_one(self, request: StringValue, context: Any) -> StringValue:
        who = current_principal()
        return text(f"{who.user_id}|{who.tenant_id}|{','.join(who.groups)}|{who.is_service}")

    async def one_to_many(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        yield text(current_principal().user_id)


class Running:
    def __init__(self, identity: IdentityForTests, kind: str, **options: Any) -> None:
        self.identity = identity
        self.kind = kind
        self.control = identity.control(rules(), **options)
        self.server = MeshServer(ServerSettings(lame_duck_seconds=0), access=self.control)
        add_echo_to_server(Asked(), self.server.registrar)
        self.channels: Channels | None = None

    def to(self, credentials: Credentials | None = None, *, as_service: bool = False) -> EchoStub:
        if self.kind == "local":
            self.channels = Channels(local={"echo": self.server.local}, credentials=credentials)
        else:
            self.channels = Channels(addresses={"echo": self.server.address}, credentials=credentials)
        return EchoStub(self.channels.to("echo", as_service=as_service))

    async def outcome(self, *metadata: tuple[str, str]) -> str:
        """The answer, or the reason of the refusal."""
        try:
            answer: StringValue = await self.to().one_to_one(text("x"), metadata=metadata)
        except grpc.aio.AioRpcError as failed:
            refused = refusal_in(failed)
            assert refused is not None, failed
            return f"{failed.code().name} {refused.reason}"
        return answer.value

    async def of(self, token: str) -> str:
        return await self.outcome(("authorization", f"Bearer {token}"))


@contextlib.asynccontextmanager
async def running(kind: str, identity: IdentityForTests | None = None, **options: Any) -> AsyncIterator[Running]:
    found = Running(identity or IdentityForTests(), kind, **options)
    await found.server.start()
    try:
        yield found
    finally:
        await found.server.stop()


@pytest.fixture(params=["local", "socket"])
async def mesh(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with running(request.param) as found:
        found.identity.allow("kermit", READ, tenant_id="acme", groups=["frogs", "stars"])
        yield found


async def test_the_method_learns_who_asks(mesh: Running) -> None:
    assert await mesh.of(mesh.identity.token("kermit")) == "kermit|acme|frogs,stars|False"


async def test_a_stream_learns_who_asks(mesh: Running) -> None:
    metadata = (("authorization", f"bearer {mesh.identity.token('kermit')}"),)

    assert [each.value async for each in mesh.to().one_to_many(text("x"), metadata=metadata)] == ["kermit"]


async def test_without_a_token_nobody_gets_in(mesh: Running) -> None:
    assert await mesh.outcome() == "UNAUTHENTICATED token-missing"
    assert await mesh.outcome(("x-user", "kermit")) == "UNAUTHENTICATED token-missing"
    assert await mesh.outcome(("authorization", "Basic a2VybWl0Og==")) == "UNAUTHENTICATED token-invalid"


async def test_two_tokens_are_none(mesh: Running) -> None:
    token = ("authorization", f"Bearer {mesh.identity.token('kermit')}")

    assert await mesh.outcome(token, token) == "UNAUTHENTICATED token-invalid"


async def test_a_stream_without_a_token_is_refused_before_it_begins(mesh: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for _ in mesh.to().one_to_many(text("x")):
            pass

    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_missing_privilege_is_named(mesh: Running) -> None:
    mesh.identity.allow("gonzo", "echo.text.write")

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await mesh.to().one_to_one(text("x"), metadata=(("authorization", f"Bearer {mesh.identity.token('gonzo')}"),))

    found = refusal_in(refused.value)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert found is not None
    assert found.facts == {"privilege": READ}
    assert READ in found.message


async def test_a_public_method_needs_nothing(mesh: Running) -> None:
    async def words() -> AsyncIterator[StringValue]:
        yield text("a")

    answer = await mesh.to().many_to_one(words())

    assert answer.value == "a"


async def test_a_request_that_cannot_be_read_is_not_even_looked_at_without_a_token(mesh: Running) -> None:
    assert mesh.channels is None
    mesh.to()
    assert mesh.channels is not None
    raw = mesh.channels.to("echo").unary_unary(f"/{SERVICE}/OneToOne")

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await raw(b"\xff\xff")

    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_change_is_effective_on_the_next_call(mesh: Running) -> None:
    token = mesh.identity.token("kermit")
    await mesh.of(token)

    mesh.identity.allow("kermit", tenant_id="acme")
    assert await mesh.of(token) == "kermit|acme|frogs,stars|False", "nobody has told yet that something changed"
    await mesh.control.forget("kermit")

    assert await mesh.of(token) == "PERMISSION_DENIED privilege-missing"


async def test_a_deactivated_user_a_revoked_token_and_a_foreign_tenant_are_refused_on_the_next_call(
    mesh: Running,
) -> None:
    identity, token = mesh.identity, mesh.identity.token("kermit", jti="t1", sid="s1")
    known = identity.users["kermit"]
    changes: dict[str, dict[str, Any]] = {
        "deactivated": {"active": False},
        "revoked": {"revoked": frozenset(("t1",))},
        "session revoked": {"revoked": frozenset(("s1",))},
        "all revoked": {"generation": 1},
        "another tenant": {"tenant_id": "umbrella"},
        "no tenant": {"tenant_id": ""},
    }
    outcomes = {}
    for name, change in changes.items():
        identity.users["kermit"] = known
        await mesh.control.forget("kermit")
        assert await mesh.of(token) == "kermit|acme|frogs,stars|False"
        identity.users["kermit"] = msgspec.structs.replace(known, **change)
        await mesh.control.forget("kermit")
        outcomes[name] = await mesh.of(token)

    assert outcomes == dict.fromkeys(changes, "UNAUTHENTICATED token-invalid")


async def test_an_unknown_user_is_told_what_a_deactivated_one_is(mesh: Running) -> None:
    assert await mesh.of(mesh.identity.token("nobody")) == "UNAUTHENTICATED token-invalid"


async def test_identity_away_lets_known_users_go_on_and_nobody_else_in(mesh: Running) -> None:
    known = mesh.identity.token("kermit")
    await mesh.of(known)
    mesh.identity.allow("gonzo", READ)
    mesh.identity.away = True

    assert await mesh.of(known) == "kermit|acme|frogs,stars|False"
    assert await mesh.of(mesh.identity.token("gonzo")) == "UNAVAILABLE identity-away"

    mesh.identity.away = False
    assert await mesh.of(mesh.identity.token("gonzo")) == "gonzo|||False"


async def test_permissions_are_asked_for_once(mesh: Running) -> None:
    token = mesh.identity.token("kermit")
    for _ in range(5):
        await mesh.of(token)

    assert mesh.identity.questions == ["kermit"]


async def test_a_service_is_let_in_for_work_of_its_own(mesh: Running) -> None:
    tokens = ServiceTokens("engine", SERVICE_KEY, audience=AUDIENCE, now=NOW)

    answer = await mesh.to(Credentials(tokens)).one_to_one(text("x"))

    assert answer.value == "service:engine|||True"


class Front(Echo):
    """A service that calls another one."""

    def __init__(self) -> None:
        self.behind: EchoStub | None = None

    async def one_to_one(self, request: StringValue, context: Any) -> StringValue:
        assert self.behind is not None
        answer: StringValue = await self.behind.one_to_one(request)
        return answer

    async def many_to_one(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        return await self.one_to_one(text(""), context)


@pytest.mark.parametrize("as_service", [False, True])
async def test_a_call_between_services_is_its_callers_unless_it_is_the_services_own(
    mesh: Running, as_service: bool
) -> None:
    tokens = ServiceTokens("front", SERVICE_KEY, audience=AUDIENCE, now=NOW)
    front = Front()
    server = MeshServer(ServerSettings(), access=mesh.identity.control(rules()))
    add_echo_to_server(front, server.registrar)
    await server.start()
    front.behind = mesh.to(Credentials(tokens), as_service=as_service)
    channels = Channels(local={"front": server.local})

    token = mesh.identity.token("kermit")
    answer = await EchoStub(channels.to("front")).one_to_one(
        text("x"), metadata=(("authorization", f"Bearer {token}"),)
    )

    await server.stop()
    assert answer.value == ("service:front|||True" if as_service else "kermit|acme|frogs,stars|False")


async def test_whoever_calls_a_public_method_is_not_lent_the_services_token(mesh: Running) -> None:
    tokens = ServiceTokens("front", SERVICE_KEY, audience=AUDIENCE, now=NOW)
    front = Front()
    server = MeshServer(ServerSettings(), access=mesh.identity.control(rules()))
    add_echo_to_server(front, server.registrar)
    await server.start()
    front.behind = mesh.to(Credentials(tokens))

    async def nothing() -> AsyncIterator[StringValue]:
        yield text("x")

    with pytest.raises(grpc.aio.AioRpcError):
        await EchoStub(Channels(local={"front": server.local}).to("front")).many_to_one(nothing())

    await server.stop()
    assert mesh.identity.questions == []


async def test_refusals_are_answered_at_one_time_whatever_the_reason() -> None:
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)

    async with running("local", refusal_seconds=30.0, sleep=sleep) as mesh:
        mesh.identity.allow("gonzo")
        for metadata in (
            (),
            (("authorization", "Bearer x"),),
            (("authorization", f"Bearer {mesh.identity.token('gonzo')}"),),
            (("authorization", f"Bearer {mesh.identity.token('nobody')}"),),
            (("authorization", f"Bearer {mesh.identity.token('gonzo', lifetime_seconds=-60)}"),),
        ):
            began = perf_counter()
            await mesh.outcome(*metadata)
            # What is left to sleep and what was spent make the same sum, but for what a busy machine adds.
            assert asked[-1] <= 30.0
            assert asked[-1] + (perf_counter() - began) >= 30.0

    assert len(asked) == 5


async def test_the_log_tells_of_refusals_without_secrets(mesh: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    mesh.identity.allow("gonzo")
    tokens = [
        mesh.identity.token("gonzo"),
        mesh.identity.token("gonzo", lifetime_seconds=-60),
        mesh.identity.token("gonzo", aud="another"),
        mesh.identity.token("kermit"),
        ServiceTokens("engine", SERVICE_KEY, audience=AUDIENCE, now=NOW).token(),
        "forged.forged.forged",
    ]
    for token in tokens:
        await mesh.of(token)
    mesh.identity.away = True
    mesh.identity.allow("piggy")
    await mesh.of(mesh.identity.token("piggy"))

    logged = "\n".join(logging.Formatter().format(record) for record in caplog.records)
    told = caplog.text
    assert "gonzo" in told
    assert "privilege" in told or READ in told
    for token in tokens:
        for part in token.split("."):
            assert part not in logged
    assert SERVICE_KEY not in logged


async def test_access_off_takes_the_user_from_the_metadata_and_allows_everything() -> None:
    server = MeshServer(ServerSettings())
    add_echo_to_server(Asked(), server.registrar)
    await server.start()

    stub = EchoStub(Channels(local={"echo": server.local}).to("echo"))
    answers = [
        (await stub.one_to_one(text("x"), metadata=metadata)).value for metadata in ((("x-user", "kermit"),), ())
    ]

    await server.stop()
    assert answers == ["kermit|||False", "|||False"]


class Endless(Echo):
    """Streams until it is ended, and tells when."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def one_to_many(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        try:
            yield text("begun")
            await asyncio.Event().wait()
        finally:
            self.ended.set()


@pytest.mark.parametrize("kind", ["local", "socket"])
async def test_a_stream_of_somebody_who_may_no_longer_call_is_ended(kind: str) -> None:
    identity, endless = IdentityForTests(), Endless()
    identity.allow("kermit", READ)
    control = identity.control(rules(), stream_seconds=0.05)
    server = MeshServer(ServerSettings(), access=control)
    add_echo_to_server(endless, server.registrar)
    address = await server.start()
    channels = Channels(local={"echo": server.local} if kind == "local" else {}, addresses={"echo": address})
    stub = EchoStub(channels.to("echo"))
    # What has expired since does not end it, and neither does identity's absence.
    token = identity.token("kermit", lifetime_seconds=0)
    call = stub.one_to_many(text("x"), metadata=(("authorization", f"Bearer {token}"),))
    answers = aiter(call)
    assert (await anext(answers)).value == "begun"
    identity.away = True
    await control.forget("kermit")
    while len(identity.questions) < 3:  # noqa: ASYNC110 - the looks are counted, nobody announces them
        await asyncio.sleep(0.01)
    assert not endless.ended.is_set()

    identity.away = False
    identity.allow("kermit")

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async with asyncio.timeout(20):
            await anext(answers)
    found = refusal_in(refused.value)
    assert found is not None
    assert found.reason == "privilege-missing"
    async with asyncio.timeout(20):
        await endless.ended.wait()
    await channels.close()
    await server.stop()

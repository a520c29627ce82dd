"""Users through the contract."""

from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as pb
from google.protobuf.json_format import MessageToJson
from sqlalchemy import select

from identity.storage import tables
from mesh.db.database import DatabaseSettings, open_database
from tests.identity.conftest import Refused
from tests.identity.worlds import PASSWORD, World, as_user

ANNA = {"first_name": "Anna", "last_name": "Ünal", "display_name": "Anna Ü.", "email": "anna@example.org"}


async def test_a_user_is_made_read_changed_and_deleted(world: World, refused: Refused) -> None:
    made = await world.user("anna", **ANNA)
    read = await world.identity.GetUser(pb.GetUserRequest(user_id="anna"))
    changed = await world.identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", last_name="Berg", email=""))
    await world.identity.DeleteUser(pb.DeleteUserRequest(user_id="anna"))

    assert made == read
    assert (read.id, read.first_name, read.last_name, read.display_name, read.email) == (
        "anna",
        "Anna",
        "Ünal",
        "Anna Ü.",
        "anna@example.org",
    )
    assert (changed.first_name, changed.last_name, changed.HasField("email")) == ("Anna", "Berg", False)
    assert await refused(world.identity.GetUser(pb.GetUserRequest(user_id="anna"))) == ("NOT_FOUND", "user-not-found")
    assert await refused(world.identity.DeleteUser(pb.DeleteUserRequest(user_id="anna"))) == (
        "NOT_FOUND",
        "user-not-found",
    )


async def test_an_id_is_taken_once(world: World, refused: Refused) -> None:
    await world.user("anna")

    assert await refused(world.user("anna")) == ("ALREADY_EXISTS", "user-exists")
    assert (await world.user("Anna")).id == "Anna"


async def test_wrong_users_are_refused(small_world: World, refused: Refused) -> None:
    invalid = ("INVALID_ARGUMENT", "invalid-argument")

    assert await refused(small_world.user("")) == invalid
    assert await refused(small_world.user("anna", password="short")) == invalid
    assert await refused(small_world.user("anna", password="x" * 513)) == invalid
    assert await refused(small_world.user("anna", issuer="https://idp")) == invalid
    assert await refused(small_world.user("a\nb")) == ("INVALID_ARGUMENT", "invalid-text")
    assert await refused(small_world.user("x" * 256)) == ("INVALID_ARGUMENT", "invalid-text")
    assert await refused(small_world.user("anna", first_name="x" * 256)) == ("INVALID_ARGUMENT", "invalid-text")
    assert await refused(small_world.user("anna", tenant_id="nowhere")) == ("NOT_FOUND", "tenant-not-found")


async def test_a_retry_with_the_same_request_id_gets_the_first_answer(world: World, refused: Refused) -> None:
    request = pb.CreateUserRequest(id="anna", password=PASSWORD, first_name="Anna", request_id="r-1")
    first = await world.identity.CreateUser(request)
    await world.identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", first_name="Other"))

    again = await world.identity.CreateUser(request)
    deleted = [
        await world.identity.DeleteUser(pb.DeleteUserRequest(user_id="anna", request_id="r-2")) for _ in range(2)
    ]

    assert again == first
    assert len(deleted) == 2
    other = pb.CreateUserRequest(id="berta", request_id="r-1")
    assert await refused(world.identity.CreateUser(other)) == ("INVALID_ARGUMENT", "request-id-reused")
    request.request_id = "x" * 129
    assert await refused(world.identity.CreateUser(request)) == ("INVALID_ARGUMENT", "request-id-too-long")


async def test_the_request_ids_of_two_callers_are_apart(small_world: World) -> None:
    request = pb.CreateUserRequest(id="anna", request_id="r-1")
    await small_world.identity.CreateUser(request, metadata=as_user("one", "*"))
    request.id = "berta"

    made = await small_world.identity.CreateUser(request, metadata=as_user("two", "*"))

    assert made.id == "berta"


async def test_a_password_never_comes_out(world: World) -> None:
    made = await world.user("anna")
    read = await world.identity.GetUser(pb.GetUserRequest(user_id="anna"))
    listed = await world.identity.ListUsers(pb.ListUsersRequest())
    database = open_database(DatabaseSettings(url=world.url))
    with database.engine.connect() as connection:
        kept = connection.execute(
            select(tables.password.c.hash).where(tables.password.c.user_id == "anna")
        ).scalar_one()
        stored = [
            str(row) for table in tables.metadata.sorted_tables for row in connection.execute(select(table)).all()
        ]
    database.close()

    for answer in (made, read, listed):
        text = MessageToJson(answer)
        assert PASSWORD not in text
        assert kept not in text
    assert kept.startswith("$argon2id$")
    assert not any(PASSWORD in row for row in stored)


async def test_a_disabled_user_may_nothing_and_loses_their_sessions(world: World, refused: Refused) -> None:
    await world.user("anna")
    session = await world.login("anna")
    before = await world.permissions("anna")

    await world.identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", disabled=True))

    after = await world.permissions("anna")
    assert before.active
    assert (after.active, list(after.privileges)) == (False, [])
    assert after.token_generation > before.token_generation
    assert (await refused(world.login("anna")))[0] == "UNAUTHENTICATED"
    refresh = access_pb.RefreshRequest(refresh_token=session.refresh_token)
    assert (await refused(world.access.Refresh(refresh)))[0] == "UNAUTHENTICATED"


async def test_a_new_password_ends_every_session_and_only_it_opens_one(world: World, refused: Refused) -> None:
    await world.user("anna")
    session = await world.login("anna")

    await world.identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", password="another horse"))

    refresh = access_pb.RefreshRequest(refresh_token=session.refresh_token)
    assert (await refused(world.access.Refresh(refresh)))[0] == "UNAUTHENTICATED"
    assert (await refused(world.login("anna")))[0] == "UNAUTHENTICATED"
    assert (await world.login("anna", "another horse")).user_id == "anna"


async def test_the_engine_is_told_as_flowables_clients_ask_for_it(small_world: World) -> None:
    found = await small_world.identity.GetIdmEngine(pb.GetIdmEngineRequest())

    assert found.name == "flowloom-identity"
    assert found.version

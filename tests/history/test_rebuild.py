"""A rebuild from the stream gives the same tables, whatever people did here meanwhile; a crash in it harms nothing."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from flowloom.history.v1 import archive_service_pb2 as archive_pb
from flowloom.history.v1 import erasure_service_pb2 as erasure_pb
from flowloom.history.v1 import history_log_service_pb2 as log_pb
from flowloom.history.v1 import history_service_pb2 as history_pb
from flowloom.history.v1 import rebuild_service_pb2 as pb
from sqlalchemy import text

from history.settings import ArchiveSettings
from mesh.db.database import DatabaseSettings, open_database
from tests.history.lives import LATER, live
from tests.history.worlds import Running, World

SECONDS = 60.0
OWN = ("rebuild", "rebuild_root", "answered_request")
SOON = {"rebuild_lease_seconds": 0.5}
"""Tables in which a rebuild leaves its own traces."""


async def _rebuilt(history: Running, state: str = "done") -> pb.Rebuild:
    begun = await history.rebuilds.StartRebuild(pb.StartRebuildRequest(request_id="again"))
    return await _ended(history, begun.id, state)


async def _ended(history: Running, rebuild_id: str, state: str) -> pb.Rebuild:
    async with asyncio.timeout(SECONDS):
        while True:
            found: pb.Rebuild = await history.rebuilds.GetRebuild(pb.GetRebuildRequest(rebuild_id=rebuild_id))
            if found.HasField("end_time"):
                assert found.state == state, found.error
                return found
            await asyncio.sleep(0.01)


async def test_a_rebuild_gives_the_same_tables_row_by_row(world: World, tmp_path: Path) -> None:
    roots = live(world)
    world.engine.start("p", {"boss": "fozzie"}, name="open")
    history = await world.start(archive=ArchiveSettings(url=str(tmp_path / "archive")), clock=LATER)
    await history.caught_up()
    await history.stub.DeleteHistoricProcessInstance(
        history_pb.DeleteHistoricProcessInstanceRequest(process_instance_id=roots[0])
    )
    remark = log_pb.CreateHistoricProcessInstanceCommentRequest(process_instance_id=roots[1], message="here")
    await history.logs.CreateHistoricProcessInstanceComment(remark)
    await history.logs.DeleteHistoricProcessInstanceComment(
        log_pb.DeleteHistoricProcessInstanceCommentRequest(process_instance_id=roots[1], comment_id="remark--kermit-1")
    )
    await history.archive.SetArchivePolicy(archive_pb.SetArchivePolicyRequest(process_definition_key="called"))
    await history.erasures.ErasePerson(
        erasure_pb.ErasePersonRequest(user_id="kermit", variable_names=["secret"], with_comments=True)
    )
    policy = archive_pb.SetArchivePolicyRequest(process_definition_key="p", retention_days=39)
    await history.archive.SetArchivePolicy(policy)
    await history.archive.RunArchive(archive_pb.RunArchiveRequest())
    before = await world.contents(*OWN)

    done = await _rebuilt(history)

    after = await world.contents(*OWN)
    assert done.messages > 20
    assert [name for name in before if before[name] != after[name]] == []
    assert len(before["historic_activity"]) > 20
    assert len(before["archived_instance"]) > 0
    # Everyday life goes on.
    world.engine.start("p", {"boss": "fozzie"}, name="after the rebuild")
    await history.caught_up()
    assert [one.name for one in await history.instances(process_instance_name="after the rebuild")]


async def test_a_rebuild_repairs_what_was_damaged(world: World) -> None:
    live(world)
    history = await world.start(clock=LATER)
    await history.caught_up()
    before = await world.contents(*OWN)

    def damage() -> None:
        database = open_database(DatabaseSettings(url=world.url))
        with database.engine.begin() as connection:
            connection.execute(text("DELETE FROM historic_activity"))
            connection.execute(text("UPDATE statistic_day SET started = started + 7"))
            connection.execute(text("UPDATE historic_process_instance SET name = 'wrong'"))
        database.close()

    await asyncio.to_thread(damage)
    await _rebuilt(history)

    assert await world.contents(*OWN) == before


async def test_a_rebuild_that_would_lose_something_is_refused_and_loses_nothing(world: World) -> None:
    live(world)
    history = await world.start(clock=LATER)
    await history.caught_up()
    before = await world.contents(*OWN)
    first = min(world.outbox._visible)
    kept = world.outbox._visible.pop(first)
    world.engine.start("p", {"boss": "fozzie"}, name="meanwhile")

    refused = await _rebuilt(history, "refused")

    assert "1 missing" in refused.error
    await history.caught_up()
    assert len(await history.instances(process_instance_name="meanwhile")) == 1
    after = await world.contents(*OWN)
    assert set(before["historic_process_instance"]) < set(after["historic_process_instance"])
    world.outbox._visible[first] = kept


@pytest.mark.parametrize("state", ["checking", "replaying"])
async def test_a_rebuild_that_a_crash_ended_is_taken_up_or_given_up_at_the_next_start(world: World, state: str) -> None:
    live(world)
    history = await world.start(clock=LATER)
    await history.caught_up()
    before = await world.contents(*OWN)
    await history.stop()

    def crash() -> None:
        database = open_database(DatabaseSettings(url=world.url))
        with database.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO rebuild (id, state, started_at, requested_by, error, messages) "
                    f"VALUES ('r', '{state}', '2026-01-01 00:00:00.000000', '', '', 0)"
                )
            )
            if state == "replaying":
                connection.execute(text("DELETE FROM historic_process_instance"))
                connection.execute(text("DELETE FROM applied_command"))
        database.close()

    await asyncio.to_thread(crash)
    history = await world.start(clock=LATER)
    await _ended(history, "r", "done" if state == "replaying" else "refused")
    assert await world.contents(*OWN, "rebuild_gate") == {k: v for k, v in before.items() if k != "rebuild_gate"}
    await history.caught_up()

    assert await world.contents(*OWN) == before


async def test_two_rebuilds_at_a_time_are_refused_and_a_retry_gets_the_first_answer(world: World) -> None:
    live(world, count=1)
    history = await world.start(clock=LATER)
    await history.caught_up()

    first, second = await asyncio.gather(
        history.rebuilds.StartRebuild(pb.StartRebuildRequest(request_id="a")),
        history.rebuilds.StartRebuild(pb.StartRebuildRequest(request_id="b")),
        return_exceptions=True,
    )
    begun, refused = (second, first) if isinstance(first, BaseException) else (first, second)
    await _ended(history, begun.id, "done")
    again = await history.rebuilds.StartRebuild(pb.StartRebuildRequest(request_id="a" if begun is first else "b"))

    assert isinstance(refused, grpc.aio.AioRpcError)
    assert refused.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert again.id == begun.id


async def test_the_lag_tells_messages_and_seconds(tmp_path: Any) -> None:
    world = World(f"sqlite:///{tmp_path / 'history.db'}")
    live(world, count=1)
    history = await world.start(clock=LATER)
    await history.caught_up()

    lag = await history.rebuilds.GetLag(pb.GetLagRequest())

    assert (lag.messages, lag.held, lag.seconds) == (0, 0, 0)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.rebuilds.GetRebuild(pb.GetRebuildRequest(rebuild_id="x"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    await world.close()

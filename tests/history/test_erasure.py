"""What is erased is nowhere any more, archives included, and stays away; what was erased can be proved."""

from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest
from flowloom.history.v1 import archive_service_pb2 as archive_pb
from flowloom.history.v1 import erasure_service_pb2 as pb
from flowloom.history.v1 import statistics_service_pb2 as statistics_pb
from google.protobuf.message import Message
from sqlalchemy import text

from history.model.ids import person_digest
from history.settings import ArchiveSettings
from mesh.db.database import DatabaseSettings, open_database
from tests.history.lives import LATER, live
from tests.history.worlds import Running, World


async def _started(world: World, tmp_path: Path, key: str = "") -> Running:
    archive = ArchiveSettings(url=str(tmp_path / "archive"), orphan_seconds=0)
    history = await world.start(archive=archive, clock=LATER, erasure_key=key)
    await history.caught_up()
    return history


async def _archived(history: Running, days: int, tenant_id: str = "") -> int:
    for key in ("p", "called"):
        await history.archive.SetArchivePolicy(
            archive_pb.SetArchivePolicyRequest(process_definition_key=key, retention_days=days, tenant_id=tenant_id)
        )
    return int((await history.archive.RunArchive(archive_pb.RunArchiveRequest())).instances)


def _files(tmp_path: Path) -> str:
    return repr([pq.read_table(path).to_pylist() for path in sorted((tmp_path / "archive").iterdir())])


async def test_an_erased_person_is_in_no_table_and_no_file_any_more(world: World, tmp_path: Path) -> None:
    live(world)
    history = await _started(world, tmp_path)
    assert await _archived(history, 39) > 0
    assert "kermit" in _files(tmp_path)
    assert "kermit" in repr(await world.contents())
    work = (await history.statistics.GetWorkload(statistics_pb.GetWorkloadRequest())).data

    proof = await history.erasures.ErasePerson(
        pb.ErasePersonRequest(user_id="kermit", variable_names=["secret"], with_comments=True, request_id="r")
    )

    contents = await world.contents()
    found = {name: row for name, rows in contents.items() for row in rows if "kermit" in repr(row[1:])}
    # Ids are the engine's, and the test's remarks bear the name in theirs.
    assert set(found) <= {"historic_comment", "forgotten"}
    assert not [row for row in contents["historic_comment"] if "kermit" in repr(row[1:])]
    left = _files(tmp_path).replace("remark--kermit", "")
    assert "kermit" not in left
    assert "erased-" in left
    assert [file.suffix for file in (tmp_path / "archive").iterdir()] == [".parquet"]
    changed = {rows.table: rows.changed for rows in proof.rows}
    assert changed.keys() >= {"historic_process_instance", "historic_task", "historic_task_log", "archive"}
    assert (proof.subject, proof.kind, proof.number) == (person_digest("kermit"), "person", 1)
    assert await history.erasures.ErasePerson(pb.ErasePersonRequest(user_id="kermit", request_id="r")) == proof
    assert await history.erasures.GetErasure(pb.GetErasureRequest(erasure_id=proof.id)) == proof
    after = (await history.statistics.GetWorkload(statistics_pb.GetWorkloadRequest())).data
    assert sorted((one.assigned, one.completed) for one in after) == sorted(
        (one.assigned, one.completed) for one in work
    )


async def test_a_message_that_comes_late_says_nothing_of_an_erased_person_and_later_deeds_are_kept(
    world: World, tmp_path: Path
) -> None:
    live(world, count=1)
    open_one = world.engine.start("p", {"boss": "kermit"}, name="open", user_id="kermit")
    history = await _started(world, tmp_path)
    await history.erasures.ErasePerson(pb.ErasePersonRequest(user_id="kermit"))

    world.engine.start("p", {"boss": "kermit"}, name="late", user_id="kermit")
    world.engine.now = LATER.now()
    world.engine.later(hours=1)
    world.engine.user_id = "kermit"
    world.engine.complete(open_one, "review")
    await history.caught_up()

    (late,) = await history.instances(process_instance_name="late")
    (done,) = await history.instances(process_instance_name="open")
    assert late.start_user_id.startswith("erased-")
    assert done.start_user_id == late.start_user_id
    assert done.end_user_id == "kermit"


async def test_an_erased_tenant_leaves_no_row_and_no_file(world: World, tmp_path: Path) -> None:
    live(world, count=3, tenant_id="acme")
    others = live(world, count=2, tenant_id="other")
    history = await _started(world, tmp_path)
    assert await _archived(history, 39, "acme") > 0
    await _archived(history, 39, "other")

    proof = await history.erasures.EraseTenant(pb.EraseTenantRequest(tenant_id="acme"))

    contents = await world.contents()
    assert [name for name, rows in contents.items() for row in rows if "acme" in row] == []
    assert "acme" not in _files(tmp_path).replace("remark-acme", "")
    here = {one.id for one in await history.instances(size=100)}
    listed = archive_pb.ListArchivedInstancesRequest(size=100)
    there = {one.process_instance_id for one in (await history.archive.ListArchivedInstances(listed)).data}
    assert set(others) <= here | there
    assert {rows.table for rows in proof.rows if rows.deleted} >= {"historic_process_instance", "statistic_day"}
    assert proof.kind == "tenant"


async def test_a_tenant_of_which_something_is_open_is_not_erased(world: World, tmp_path: Path) -> None:
    live(world, count=1, tenant_id="acme")
    world.engine.start("p", {"boss": "fozzie"}, tenant_id="acme")
    history = await _started(world, tmp_path)
    before = await world.contents()

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.erasures.EraseTenant(pb.EraseTenantRequest(tenant_id="acme"))

    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert await world.contents() == before


async def test_proofs_are_chained_signed_and_verified(world: World, tmp_path: Path) -> None:
    live(world, count=2)
    history = await _started(world, tmp_path, key="a key")
    proofs = [
        await history.erasures.ErasePerson(pb.ErasePersonRequest(user_id=name))
        for name in ("kermit", "piggy", "nobody")
    ]

    valid = await history.erasures.VerifyErasures(pb.VerifyErasuresRequest())
    listed = (await history.erasures.ListErasures(pb.ListErasuresRequest(subject_id="piggy"))).data

    assert (valid.valid, valid.checked) == (True, 3)
    assert [proof.previous_hash for proof in proofs] == ["", proofs[0].hash, proofs[1].hash]
    assert all(len(proof.signature) == 64 for proof in proofs)
    assert [one.id for one in listed] == [proofs[1].id]

    database = open_database(DatabaseSettings(url=world.url))
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE erasure SET requested_by = 'somebody else' WHERE number = 2"))
    database.close()
    broken = await history.erasures.VerifyErasures(pb.VerifyErasuresRequest())
    assert (broken.valid, broken.checked, broken.broken_erasure_id) == (False, 1, proofs[1].id)


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("ErasePerson", pb.ErasePersonRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        (
            "ErasePerson",
            pb.ErasePersonRequest(user_id="x", variable_names=[""]),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        ("EraseTenant", pb.EraseTenantRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        ("GetErasure", pb.GetErasureRequest(erasure_id="x"), grpc.StatusCode.NOT_FOUND),
        ("ListErasures", pb.ListErasuresRequest(sort="x"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_what_cannot_be_erased_or_found_is_refused(
    tmp_path: Any, method: str, request_: Message, code: grpc.StatusCode
) -> None:
    world = World(f"sqlite:///{tmp_path / 'history.db'}")
    history = await world.start()

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await getattr(history.erasures, method)(request_)

    assert refused.value.code() is code
    await world.close()

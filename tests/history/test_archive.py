"""What is long over moves to files, is read there, and comes back as it was; no crash loses or doubles anything."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest
from flowloom.history.v1 import archive_service_pb2 as pb
from flowloom.history.v1 import history_log_service_pb2 as log_pb
from flowloom.history.v1 import search_service_pb2 as search_pb
from google.protobuf.message import Message
from pyarrow.fs import S3FileSystem

from history.settings import ArchiveSettings
from mesh.clock import ManualClock
from mesh.testing.s3 import running_s3
from tests.engine.kernel import models as bpmn
from tests.engine.kernel.harness import BEGINNING
from tests.history import archive_process
from tests.history.worlds import Running, World

CALLED = bpmn.model(bpmn.start(), bpmn.service("work"), bpmn.end(), bpmn.flows("s>work>e")).replace(
    'id="p"', 'id="called"'
)
CALLS = bpmn.model(
    bpmn.start(),
    bpmn.user_task("review", attributes='flowable:assignee="kermit" flowable:candidateGroups="frogs"'),
    '<callActivity id="call" calledElement="called"/>',
    bpmn.end(),
    bpmn.flows("s>review>call>e"),
)
LATER = ManualClock(BEGINNING + timedelta(days=40))


def _live(world: World, count: int) -> list[str]:
    """So many instances that are over, and one that runs."""
    world.engine.deploy(CALLED)
    world.engine.deploy(CALLS)
    over = []
    for n in range(count):
        tree = world.engine.start("p", {"paper": b"\x00\xff", "n": n, "ratio": 0.1}, name=f"case {n}", user_id="fozzie")
        world.engine.later(seconds=n)
        world.engine.complete(tree, "review")
        over.append(tree.root_id)
    world.engine.start("p", name="open")
    return over


async def _started(world: World, settings: ArchiveSettings, days: int = 30) -> Running:
    history = await world.start(archive=settings, clock=LATER)
    await history.caught_up()
    for key in ("p", "*"):
        await history.archive.SetArchivePolicy(
            pb.SetArchivePolicyRequest(process_definition_key=key, retention_days=days)
        )
    return history


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with running_s3() as url:
        S3FileSystem(
            endpoint_override=url.removeprefix("http://"),
            scheme="http",
            access_key="key",
            secret_key="secret",
            region="us-east-1",
            allow_bucket_creation=True,
        ).create_dir("archive")
        yield url


@pytest.fixture(params=["path", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveSettings:
    if request.param == "path":
        return ArchiveSettings(url=str(tmp_path / "archive"), instances_per_file=2, orphan_seconds=0)
    return ArchiveSettings(
        url=f"s3://archive/{tmp_path.name}",
        s3_endpoint_url=request.getfixturevalue("s3"),
        s3_access_key="key",
        s3_secret_key="secret",
        s3_region="us-east-1",
        instances_per_file=2,
        orphan_seconds=0,
    )


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[World]:
    found = World(f"sqlite:///{tmp_path / 'history.db'}")
    yield found
    await found.close()


async def test_what_is_long_over_moves_is_read_from_its_file_and_comes_back_as_it_was(
    world: World, storage: ArchiveSettings
) -> None:
    over = _live(world, 3)
    history = await _started(world, storage)
    before = dict(await world.contents())
    remark = await history.logs.CreateHistoricProcessInstanceComment(
        log_pb.CreateHistoricProcessInstanceCommentRequest(process_instance_id=over[0], message="well done")
    )
    before["historic_comment"] = (await world.contents())["historic_comment"]
    full = {one.id: one for one in await history.instances(include_process_variables=True)}

    done = await history.archive.RunArchive(pb.RunArchiveRequest(request_id="run"))
    again = await history.archive.RunArchive(pb.RunArchiveRequest(request_id="run"))

    assert (done.instances, done.files) == (6, 2)
    assert again == done
    assert [one.name for one in await history.instances()] == ["open"]
    listed = (await history.archive.ListArchivedInstances(pb.ListArchivedInstancesRequest(size=100))).data
    assert {one.process_instance_id for one in listed} == set(full) - {
        one.id for one in full.values() if one.name == "open"
    }

    kept = await history.archive.GetArchivedInstance(pb.GetArchivedInstanceRequest(process_instance_id=over[0]))
    assert kept.process_instance == full[over[0]]
    assert [one.activity_id for one in kept.activity_instances if one.activity_type != "sequenceFlow"] == [
        "s",
        "review",
        "call",
        "e",
    ]
    assert {one.variable.name for one in kept.variable_instances} == {"paper", "n", "ratio"}
    assert [one.type for one in kept.task_log_entries] == [
        "USER_TASK_CREATED",
        "USER_TASK_IDENTITY_LINK_ADDED",
        "USER_TASK_COMPLETED",
    ]
    assert ("frogs", "candidate") in {(one.group_id, one.type) for one in kept.identity_links}

    back: list[str] = []
    for n, root in enumerate(over):
        request = pb.RestoreArchivedInstanceRequest(process_instance_id=root, request_id=f"restore-{n}")
        restored = await history.archive.RestoreArchivedInstance(request)
        assert await history.archive.RestoreArchivedInstance(request) == restored
        back += restored.process_instance_ids
    assert len(back) == 6
    after = dict(await world.contents())
    for name in ("archive_file", "answered_request"):  # what was done is remembered
        before.pop(name), after.pop(name)
    assert after == before
    assert remark.id in {row[0] for row in after["historic_comment"]}
    found = await history.search.SearchHistory(search_pb.SearchHistoryRequest(text="case 1"))
    assert [one.process_instance_id for one in found.data] == [over[1]]


async def test_nothing_moves_before_its_time_or_without_a_policy(embedded: World, tmp_path: Path) -> None:
    _live(embedded, 2)
    settings = ArchiveSettings(url=str(tmp_path / "archive"))
    history = await _started(embedded, settings, days=41)

    assert (await history.archive.RunArchive(pb.RunArchiveRequest())).instances == 0
    for key in ("p", "*"):
        await history.archive.DeleteArchivePolicy(pb.DeleteArchivePolicyRequest(process_definition_key=key))
    assert (await history.archive.RunArchive(pb.RunArchiveRequest())).instances == 0
    assert (await history.archive.ListArchivePolicies(pb.ListArchivePoliciesRequest())).total == 0


async def test_the_policy_for_all_leaves_out_definitions_with_one_of_their_own(embedded: World, tmp_path: Path) -> None:
    _live(embedded, 2)
    embedded.engine.start("called")
    history = await _started(embedded, ArchiveSettings(url=str(tmp_path / "archive")), days=1)
    own = pb.SetArchivePolicyRequest(process_definition_key="p", retention_days=1000)
    await history.archive.SetArchivePolicy(own)

    done = await history.archive.RunArchive(pb.RunArchiveRequest())

    assert done.instances == 1
    listed = (await history.archive.ListArchivedInstances(pb.ListArchivedInstancesRequest())).data
    assert [one.process_definition_key for one in listed] == ["called"]


async def test_files_are_compressed_parquet_that_others_can_read(embedded: World, tmp_path: Path) -> None:
    over = _live(embedded, 2)
    history = await _started(embedded, ArchiveSettings(url=str(tmp_path / "archive")))
    await history.archive.RunArchive(pb.RunArchiveRequest())

    (path,) = (tmp_path / "archive").iterdir()
    file = pq.ParquetFile(path)

    assert file.metadata.row_group(0).column(4).compression == "ZSTD"
    rows = file.read().to_pylist()
    assert {row["root_id"] for row in rows} == set(over)
    assert {row["table"] for row in rows} >= {"historic_process_instance", "historic_activity", "historic_detail"}


async def test_a_row_that_changes_between_file_and_transaction_keeps_everything_where_it_was(
    embedded: World, tmp_path: Path
) -> None:
    over = _live(embedded, 1)
    history = await _started(embedded, ArchiveSettings(url=str(tmp_path / "archive")))
    archive = history.service.archive
    write = archive.files.write

    async def writes_and_somebody_remarks(name: str, trees: Any) -> Any:
        written = await write(name, trees)
        await history.logs.CreateHistoricProcessInstanceComment(
            log_pb.CreateHistoricProcessInstanceCommentRequest(process_instance_id=over[0], message="wait")
        )
        return written

    archive.files.write = writes_and_somebody_remarks  # type: ignore[method-assign]
    first = await archive.run()
    archive.files.write = write  # type: ignore[method-assign]
    second = await archive.run()

    assert (first.instances, second.instances) == (0, 2)
    assert len(list((tmp_path / "archive").iterdir())) == 1


@pytest.mark.parametrize("place", archive_process.PLACES)
async def test_a_process_that_is_killed_while_it_moves_loses_nothing_and_doubles_nothing(
    world: World, tmp_path: Path, place: str
) -> None:
    over = _live(world, 2)
    folder = tmp_path / "archive"
    settings = ArchiveSettings(url=str(folder), orphan_seconds=0)
    history = await _started(world, settings)
    await history.stop()

    command = (sys.executable, "-m", "tests.history.archive_process", world.url, str(folder), place)
    died = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)

    assert died.returncode == 9, died.stderr
    history = await world.start(archive=settings, clock=LATER)
    here = {one.id for one in await history.instances(size=100)}
    listed = (await history.archive.ListArchivedInstances(pb.ListArchivedInstancesRequest(size=100))).data
    there = {one.process_instance_id for one in listed}
    assert not here & there
    assert len(here | there) == 5
    for root in there & set(over):
        await history.archive.GetArchivedInstance(pb.GetArchivedInstanceRequest(process_instance_id=root))
    await history.archive.RunArchive(pb.RunArchiveRequest())
    assert [one.name for one in await history.instances()] == ["open"]
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("RunArchive", pb.RunArchiveRequest(), grpc.StatusCode.FAILED_PRECONDITION),
        ("GetArchivedInstance", pb.GetArchivedInstanceRequest(process_instance_id="x"), grpc.StatusCode.NOT_FOUND),
        (
            "RestoreArchivedInstance",
            pb.RestoreArchivedInstanceRequest(process_instance_id="x"),
            grpc.StatusCode.NOT_FOUND,
        ),
        (
            "SetArchivePolicy",
            pb.SetArchivePolicyRequest(process_definition_key="p", retention_days=-1),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            "DeleteArchivePolicy",
            pb.DeleteArchivePolicyRequest(process_definition_key="p"),
            grpc.StatusCode.NOT_FOUND,
        ),
        ("ListArchivedInstances", pb.ListArchivedInstancesRequest(sort="x"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_what_cannot_be_done_is_refused(
    embedded: World, method: str, request_: Message, code: grpc.StatusCode
) -> None:
    history = await embedded.start()

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await getattr(history.archive, method)(request_)

    assert refused.value.code() is code


async def test_storage_that_is_away_leaves_everything_where_it_is(embedded: World, tmp_path: Path) -> None:
    _live(embedded, 1)
    away = ArchiveSettings(
        url="s3://archive/x",
        s3_endpoint_url="http://127.0.0.1:9",
        s3_access_key="key",
        s3_secret_key="secret",
        s3_region="us-east-1",
        timeout_seconds=0.5,
    )
    history = await _started(embedded, away)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await history.archive.RunArchive(pb.RunArchiveRequest())

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert len(await history.instances()) == 3

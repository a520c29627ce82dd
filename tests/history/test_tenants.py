"""Who belongs to a tenant sees, counts, finds and deletes what is of that tenant, and nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from flowloom.history.v1 import archive_service_pb2 as archive_pb
from flowloom.history.v1 import erasure_service_pb2 as erasure_pb
from flowloom.history.v1 import history_log_service_pb2 as log_pb
from flowloom.history.v1 import history_service_pb2 as pb
from flowloom.history.v1 import rebuild_service_pb2 as rebuild_pb
from flowloom.history.v1 import search_service_pb2 as search_pb
from flowloom.history.v1 import statistics_service_pb2 as statistics_pb

from history.settings import ArchiveSettings
from mesh.access import Principal, acting_as
from tests.history.lives import LATER, live
from tests.history.worlds import Running, World

ACME = Principal(user_id="gonzo", tenant_id="acme", privileges=frozenset({"*"}))
NONE = Principal(user_id="gonzo", privileges=frozenset({"history.*"}))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    found = World(f"sqlite:///{tmp_path / 'history.db'}")
    yield found
    await found.close()


class Servicers:
    """History's methods, called in somebody's name: no guard in between."""

    def __init__(self, history: Running, who: Principal) -> None:
        service = history.service
        self._who = who
        self._parts = (
            service._servicer,
            service._logs,
            service._statistics,
            service._search,
            service._archive,
            service._erasures,
            service._rebuilds,
        )

    async def call(self, request: Any) -> Any:
        name = type(request).__name__.removesuffix("Request")
        method = next(getattr(part, name) for part in self._parts if name in vars(type(part)))
        with acting_as(self._who):
            found = method(request, None)
            return [one async for one in found] if hasattr(found, "__aiter__") else await found


async def _both(world: World, tmp_path: Path) -> tuple[Running, list[str], list[str]]:
    theirs = live(world, count=2, tenant_id="acme", boss="piggy")
    others = live(world, count=2, tenant_id="other")
    history = await world.start(archive=ArchiveSettings(url=str(tmp_path / "archive")), clock=LATER)
    await history.caught_up()
    return history, theirs, others


async def test_lists_answers_counts_and_searches_are_of_the_caller_s_tenant_only(world: World, tmp_path: Path) -> None:
    history, theirs, others = await _both(world, tmp_path)
    acme, none = Servicers(history, ACME), Servicers(history, NONE)

    for request in (
        pb.ListHistoricProcessInstancesRequest(size=100),
        pb.ListHistoricActivityInstancesRequest(size=100),
        pb.ListHistoricTaskInstancesRequest(size=100),
        pb.ListHistoricVariableInstancesRequest(size=100),
        log_pb.ListHistoricDetailsRequest(size=100),
        log_pb.ListHistoricTaskLogEntriesRequest(size=100),
    ):
        found = await acme.call(request)
        assert found.data
        assert "other" not in str(found)
        assert not any(root in str(found) for root in others)
        assert not (await none.call(request)).data
    told = (await acme.call(statistics_pb.GetProcessStatisticsRequest(process_definition_key="p"))).data
    assert [one.started for one in told] == [3]
    assert not (await none.call(statistics_pb.GetProcessStatisticsRequest())).data
    hits = (await acme.call(search_pb.SearchHistoryRequest(text="case", size=100))).data
    assert {one.process_instance_id for one in hits} == set(theirs)
    assert not (await none.call(search_pb.SearchHistoryRequest(text="case"))).data


async def test_what_is_of_another_tenant_is_not_found_nor_changed(world: World, tmp_path: Path) -> None:
    history, _, others = await _both(world, tmp_path)
    acme = Servicers(history, ACME)
    foreign = others[0]
    (task,) = await history.tasks(process_instance_id=foreign)
    before = await world.contents()

    for request in (
        pb.GetHistoricProcessInstanceRequest(process_instance_id=foreign),
        pb.DeleteHistoricProcessInstanceRequest(process_instance_id=foreign),
        pb.BulkDeleteHistoricProcessInstancesRequest(action="delete", instance_ids=[foreign]),
        pb.GetHistoricTaskInstanceRequest(task_id=task.id),
        pb.DeleteHistoricTaskInstanceRequest(task_id=task.id),
        pb.ListHistoricProcessInstanceIdentityLinksRequest(process_instance_id=foreign),
        pb.ListHistoricTaskInstanceIdentityLinksRequest(task_id=task.id),
        pb.GetHistoricProcessInstanceVariableDataRequest(process_instance_id=foreign, variable_name="paper"),
        log_pb.ListHistoricProcessInstanceCommentsRequest(process_instance_id=foreign),
        log_pb.ListHistoricTaskInstanceCommentsRequest(task_id=task.id),
        log_pb.CreateHistoricProcessInstanceCommentRequest(process_instance_id=foreign, message="x"),
        log_pb.DeleteHistoricProcessInstanceCommentRequest(
            process_instance_id=foreign, comment_id="remark-other-kermit-1"
        ),
        archive_pb.GetArchivedInstanceRequest(process_instance_id=foreign),
        archive_pb.RestoreArchivedInstanceRequest(process_instance_id=foreign),
    ):
        with pytest.raises(Exception, match="found none") as refused:
            await acme.call(request)
        assert type(refused.value).__name__ == "NotFound"
    assert await world.contents() == before


async def test_another_tenant_named_or_a_deed_on_all_tenants_is_refused(world: World, tmp_path: Path) -> None:
    history, _, _ = await _both(world, tmp_path)
    acme = Servicers(history, ACME)

    for request in (
        pb.ListHistoricProcessInstancesRequest(tenant_id="other"),
        pb.ListHistoricTaskInstancesRequest(tenant_id="other"),
        log_pb.ListHistoricTaskLogEntriesRequest(tenant_id="other"),
        statistics_pb.GetOverviewRequest(tenant_id="other"),
        statistics_pb.GetSeriesRequest(tenant_id="other"),
        search_pb.SearchHistoryRequest(text="case", tenant_id="other"),
        archive_pb.SetArchivePolicyRequest(process_definition_key="p", tenant_id="other"),
        archive_pb.DeleteArchivePolicyRequest(process_definition_key="p", tenant_id="other"),
        archive_pb.RunArchiveRequest(),
        erasure_pb.EraseTenantRequest(tenant_id="other"),
        erasure_pb.ErasePersonRequest(user_id="kermit"),
        erasure_pb.ListErasuresRequest(),
        erasure_pb.VerifyErasuresRequest(),
        rebuild_pb.StartRebuildRequest(),
    ):
        with pytest.raises(Exception, match="tenant") as refused:
            await acme.call(request)
        assert type(refused.value).__name__ == "PermissionDenied", request


async def test_a_policy_is_of_the_caller_s_tenant_unless_it_names_one(world: World, tmp_path: Path) -> None:
    history, _, _ = await _both(world, tmp_path)
    acme = Servicers(history, ACME)

    made = await acme.call(archive_pb.SetArchivePolicyRequest(process_definition_key="p", retention_days=1))
    done = await history.archive.RunArchive(archive_pb.RunArchiveRequest())
    listed = (await acme.call(archive_pb.ListArchivedInstancesRequest(size=100))).data

    assert made.tenant_id == "acme"
    assert done.instances == len(listed) > 0
    assert {one.tenant_id for one in listed} == {"acme"}
    assert not (await Servicers(history, NONE).call(archive_pb.ListArchivedInstancesRequest())).data
